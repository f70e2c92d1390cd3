"""The device that a cell runs on, and what makes its run repeat."""

import torch

from src.config import Config


def choose(name: str) -> torch.device:
    """The device called `name`; for `auto` the best that this machine has."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def make_repeatable(config: Config) -> None:
    """Set what belongs to the process, not to the cell, and would leak from one cell into the next."""
    torch.use_deterministic_algorithms(config.deterministic)
    torch.backends.cudnn.deterministic = config.deterministic
    torch.backends.cudnn.benchmark = not config.deterministic
