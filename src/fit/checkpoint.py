"""Checkpoints: tensors and plain containers, so that loading one runs no code.

`best.pt` is the network as validation preferred it, with what is needed to use it again.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from src.files import write_whole


def save(path: Path, model: nn.Module, facts: dict[str, Any]) -> None:
    """Write the weights, on the CPU, and `facts`, made of plain containers, numbers and text."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_whole(path, lambda file: torch.save({"model": weights, **facts}, file))


def load(path: Path) -> dict[str, Any]:
    """What `save` wrote; nothing but tensors and plain containers is accepted.

    Raises:
        pickle.UnpicklingError: where the file holds anything else.
    """
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return checkpoint
