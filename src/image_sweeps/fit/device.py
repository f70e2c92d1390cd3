"""The device that a cell runs on, and what makes its run repeat."""

from functools import cache

import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from image_sweeps.config.schema import Config


def choose(name: str) -> torch.device:
    """The device called `name`; for `auto` the best that this machine has."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def choose_nth(name: str, local_rank: int) -> torch.device:
    """As `choose`, for one of several processes on this machine: each takes a GPU of its own, and they share a CPU.

    A scheduler may show each process its own GPU only, which is then the first.
    """
    place = choose(name)
    if place.type != "cuda":
        return place
    nth = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(nth)  # what asks for no device by number, as NCCL does, takes this one
    return nth


def limit_threads(count: int) -> None:
    """Compute with `count` threads from now on. A sum that they share is rounded as it is divided between them."""
    torch.set_num_threads(count)
    thread_pools().limit(limits=count, user_api="blas")


@cache
def thread_pools() -> ThreadpoolController:
    """The thread pools of the libraries that are loaded. Looking for them takes 20 ms: the fork server does it once."""
    return ThreadpoolController()


def make_repeatable(config: Config) -> None:
    """Set what belongs to the process, not to the cell, and would leak from one cell into the next."""
    torch.set_num_threads(torch.get_num_threads())  # a library of torch's own otherwise counts differently
    torch.use_deterministic_algorithms(config.deterministic)
    torch.backends.cudnn.deterministic = config.deterministic
    torch.backends.cudnn.benchmark = not config.deterministic


def random_state(place: torch.device) -> dict[str, Tensor]:
    """The states of torch's own generators, of the CPU and of `place`: uint8, by the kind of device."""
    states = {"cpu": torch.get_rng_state()}
    if place.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(place)
    if place.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_random_state(states: dict[str, Tensor], place: torch.device) -> None:
    """Let torch's generators go on from there; one whose kind of device is another one now keeps its own state."""
    torch.set_rng_state(states["cpu"])
    if place.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], place)
    if place.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])
