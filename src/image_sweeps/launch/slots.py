"""The slots of this machine: where the cells of a sweep run, and how many of them run at a time."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import joblib
import torch
from pydantic import PositiveInt

from image_sweeps.config.options import LAUNCHER, Options


class PoolOptions(Options):
    """The validated options of `conf/hydra/launcher/pool.yaml`."""

    where = LAUNCHER
    cells_per_gpu: PositiveInt
    slots: PositiveInt | None


@dataclass(frozen=True)
class Slot:
    """A place for one cell at a time.

    Attributes:
        name: the name shown on the terminal.
        num_threads: the number of CPU threads that all processes of the cell may use together.
        gpu: the value of CUDA_VISIBLE_DEVICES, so that the cell sees no other GPU; None leaves it unchanged.
    """

    name: str
    num_threads: int
    gpu: str | None = None


def slots(options: PoolOptions, device: str, devices: int = 1, threads: int = 1) -> list[Slot]:
    """Return the slots of this machine for cells on `device`, each with `devices` devices and `threads` per device.

    Cells that share GPUs are spread: a sweep of two cells on two GPUs uses both. GPUs that are too few for another
    cell stay idle.
    """
    num_threads = threads * devices
    if accelerators := _accelerators(device):
        assert devices <= len(accelerators), "the configuration was checked on this machine"
        places = _grouped(accelerators, devices)
        count = options.slots or len(places) * options.cells_per_gpu
        return [Slot(name, num_threads, gpu) for name, gpu in (places * count)[:count]]
    # the cores that CPU affinity and the control group allow this process, not those of the machine
    count = options.slots or max(1, joblib.cpu_count() // num_threads)
    return [Slot(f"cpu {number}", num_threads) for number in range(count)]


def _grouped(accelerators: Sequence[tuple[str, str | None]], devices: int) -> list[tuple[str, str | None]]:
    """Group neighbouring GPUs, which often have the best connection: `gpu 0,1` and `gpu 2,3`."""
    if devices == 1:
        return list(accelerators)
    gpus = [gpu for _, gpu in accelerators if gpu is not None]
    groups = [",".join(gpus[first : first + devices]) for first in range(0, len(gpus) - devices + 1, devices)]
    return [(f"gpu {group}", group) for group in groups]


def _accelerators(device: str) -> list[tuple[str, str | None]]:
    """Return the accelerators for cells on `device`, as pairs of name and CUDA_VISIBLE_DEVICES; none for the CPU."""
    if device in ("auto", "cuda"):
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        numbers = range(torch.cuda.device_count())  # queries NVML, and does not initialize CUDA
        gpus = [str(number) for number in numbers] if visible is None else visible.split(",")
        if numbers:
            return [(f"gpu {gpus[number].strip()}", gpus[number].strip()) for number in numbers]
    if device == "cpu" or (device == "auto" and not torch.backends.mps.is_available()):
        return []
    return [("mps" if device == "auto" else device, None)]
