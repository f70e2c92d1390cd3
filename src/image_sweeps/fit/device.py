"""The device that a cell runs on, and the settings that make its run reproducible."""

from functools import cache

import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from image_sweeps.config.schema import Config


def choose(name: str) -> torch.device:
    """Return the device called `name`; for `auto`, the first of cuda, mps and cpu that this machine has."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def choose_nth(name: str, local_rank: int) -> torch.device:
    """Return the device for one of several processes on this machine: each has its own GPU, or they share the CPU.

    A scheduler may show each process only its own GPU, which then is the first one.
    """
    place = choose(name)
    if place.type != "cuda":
        return place
    nth = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(nth)  # the default for code that names no GPU, such as NCCL
    return nth


def limit_threads(count: int) -> None:
    """Compute with `count` threads from now on. The rounding of a sum depends on how many threads share it."""
    torch.set_num_threads(count)
    thread_pools().limit(limits=count, user_api="blas")


@cache
def thread_pools() -> ThreadpoolController:
    """Return the thread pools of the loaded libraries. Finding them takes 20 ms, so the fork server does it once."""
    return ThreadpoolController()


def make_repeatable(config: Config) -> None:
    """Set the options of the process that would otherwise leak from one cell into the next."""
    torch.set_num_threads(torch.get_num_threads())  # else one of torch's libraries uses another number
    torch.use_deterministic_algorithms(config.deterministic)
    torch.backends.cudnn.deterministic = config.deterministic
    torch.backends.cudnn.benchmark = not config.deterministic


def random_state(place: torch.device) -> dict[str, Tensor]:
    """Return the states of torch's own generators for the CPU and for `place`, uint8, by type of device."""
    states = {"cpu": torch.get_rng_state()}
    if place.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(place)
    if place.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_random_state(states: dict[str, Tensor], place: torch.device) -> None:
    """Restore the states of torch's generators. If `states` has none for the type of `place`, its generator is kept."""
    torch.set_rng_state(states["cpu"])
    if place.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], place)
    if place.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])
