"""How long a sweep may take, by the epochs of cells like its own that were trained before.

A cell takes as long as its epochs and what comes after them: the test, the figures, the artifacts. Both are medians
over the past cells most like it. These are the ones that agree in everything that the cost of an epoch depends on
(data, image size, network, batch size, device and so on); where there are none, those with the same data and network,
whatever the rest. The cells are then dealt out as a launcher does it: each to the slot that is free first.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median

from image_sweeps.cell.cell import Cell

DATA = "fingerprint"
"""Stands for the data set: its name does not tell one archive from another."""

SAME_NETWORK = (DATA, "dataset.image_size", "model", "device")

SAME_COST = (
    *SAME_NETWORK,
    *("dataset.channels", "dataset.train_fraction", "dataset.val_fraction"),
    *("augmentation", "activation", "norm", "optimizer"),
    *("batch_size", "devices", "precision", "compile", "deterministic"),
)
"""With everything that is set of the model."""

Traits = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class TimedCell:
    """A finished cell.

    Attributes:
        params: the choices of its groups and its configuration, flattened, as text; the fingerprint of its data.
        epoch_s: seconds of its last epoch, training and validation together.
        after_s: seconds from its last epoch to its end.
    """

    params: Mapping[str, str]
    epoch_s: float
    after_s: float


@dataclass(frozen=True)
class Estimate:
    """How long a sweep may take, and what that rests on.

    Attributes:
        seconds: None where there is nothing to go by.
        num_slots: how many cells run at a time.
        num_past: past cells that it was taken from.
        num_unlike: cells like none before, which it leaves out.
        may_stop: some cells may stop early, so that it is too long rather than too short.
    """

    seconds: float | None
    num_slots: int
    num_past: int
    num_unlike: int
    may_stop: bool

    def __str__(self) -> str:
        if self.seconds is None:
            return "unknown: no past epochs to go by"
        if not self.num_past:
            return "0 s: there is nothing to run"
        slots = "one cell after the other" if self.num_slots == 1 else f"{self.num_slots} cells at a time"
        stop = " if none stops early" if self.may_stop else ""
        unlike = f"; {_counted(self.num_unlike, 'cell')} like none before left out" if self.num_unlike else ""
        return f"{format_duration(self.seconds)}{stop}, {slots}; from {_counted(self.num_past, 'past cell')}{unlike}"


def estimate(
    cells: Sequence[Cell], past: Sequence[TimedCell], num_slots: int, num_done: Mapping[str, int] | None = None
) -> Estimate:
    """How long these cells may take.

    Args:
        cells: what is to be run, in this order.
        past: finished cells, any.
        num_slots: how many run at a time.
        num_done: epochs that are trained already, by the ids of the cells that go on from a checkpoint.
    """
    alike: dict[Traits, list[TimedCell]] = {}
    for one in past:
        for traits in _traits(one.params):
            alike.setdefault(traits, []).append(one)

    @cache
    def cost(traits: Traits) -> tuple[float, float]:
        return median(one.epoch_s for one in alike[traits]), median(one.after_s for one in alike[traits])

    durations: list[float] = []
    met: set[Traits] = set()
    for cell in cells:
        known = [traits for traits in _traits(params_of(cell)) if traits in alike]
        if known:
            epoch_s, after_s = cost(known[0])
            durations.append((cell.config.epochs - (num_done or {}).get(cell.id, 0)) * epoch_s + after_s)
            met.add(known[0])
    return Estimate(
        seconds=_makespan(durations, num_slots) if durations or not cells else None,
        num_slots=num_slots,
        num_past=len({id(one) for traits in met for one in alike[traits]}),
        num_unlike=len(cells) - len(durations),
        may_stop=any(cell.config.early_stopping.patience for cell in cells),
    )


def params_of(cell: Cell) -> dict[str, str]:
    """What is recorded of a cell and the cost of its epochs may depend on, as `TimedCell.params`."""
    raw = cell.raw
    flat = {
        f"{top}.{key}": value for top in ("dataset", "model") for key, value in raw[top].items() if key != "_target_"
    }
    flat |= {key: raw[key] for key in SAME_COST if key in raw and key not in cell.choices}
    return {**cell.choices, **{key: str(value) for key, value in flat.items()}, DATA: cell.fingerprint}


def _traits(params: Mapping[str, str]) -> tuple[Traits, Traits]:
    """In what past cells are to agree with this one: in everything, or if there are none, at least in this."""
    model = sorted(key for key in params if key.startswith("model."))
    everything = tuple((key, params.get(key, "")) for key in (*SAME_COST, *model))
    return everything, tuple((key, params.get(key, "")) for key in SAME_NETWORK)


def _makespan(durations: Sequence[float], num_slots: int) -> float:
    """When the last one ends, where each begins in the slot that is free first."""
    free = [0.0] * num_slots
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s'[: count != 1]}"


def format_duration(seconds: float) -> str:
    """A duration with two units at most, as in `3 h 20 min`."""
    whole = round(seconds)
    for unit, size, below, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {below}"
    return f"{whole} s"
