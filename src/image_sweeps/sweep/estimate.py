"""An estimate of the time of a sweep, from similar cells that were trained before.

The time of a cell consists of its epochs and of the work after them: the test, the figures, the artifacts. Both are
medians over the most similar past cells. These agree in everything that the cost of an epoch depends on (data, image
size, network, batch size, device and so on) or, if there are none, in data, image size, network and device. The cells
are then assigned as a launcher does it: each to the slot that is free first.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median

from image_sweeps.cell.cell import Cell

DATA = "fingerprint"
"""The key that identifies the data set, whose name does not distinguish one archive from another."""

SAME_NETWORK = (DATA, "dataset.image_size", "model", "device")

SAME_COST = (
    *SAME_NETWORK,
    *("dataset.channels", "dataset.train_fraction", "dataset.val_fraction"),
    *("augmentation", "activation", "norm", "optimizer"),
    *("batch_size", "devices", "precision", "compile", "deterministic"),
)
"""The keys that the cost of an epoch depends on, besides all settings of the model."""

Traits = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class TimedCell:
    """A finished cell and its times.

    Attributes:
        params: the choices of its groups and its flattened configuration, as text, and the fingerprint of its data.
        epoch_s: seconds of its last epoch, training and validation together.
        after_s: seconds from its last epoch to its end.
    """

    params: Mapping[str, str]
    epoch_s: float
    after_s: float


@dataclass(frozen=True)
class TimeEstimate:
    """The estimated time of a sweep, and its basis.

    Attributes:
        seconds: the estimated time, or None if there are no similar past cells.
        num_slots: the number of cells that run at a time.
        num_past: the number of past cells that the estimate is based on.
        num_unlike: the number of cells without similar past cells, which the estimate leaves out.
        may_stop: whether cells may stop early, so that the estimate is too long rather than too short.
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


def estimate_time(
    cells: Sequence[Cell], past: Sequence[TimedCell], num_slots: int, num_done: Mapping[str, int] | None = None
) -> TimeEstimate:
    """Estimate how long these cells take.

    Args:
        cells: the cells to run, in this order.
        past: any finished cells.
        num_slots: the number of cells that run at a time.
        num_done: the number of epochs in the checkpoint of each cell that has one, by the id of the cell.
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
    return TimeEstimate(
        seconds=_makespan(durations, num_slots) if durations or not cells else None,
        num_slots=num_slots,
        num_past=len({id(one) for traits in met for one in alike[traits]}),
        num_unlike=len(cells) - len(durations),
        may_stop=any(cell.config.early_stopping.patience for cell in cells),
    )


def params_of(cell: Cell) -> dict[str, str]:
    """Return the parameters of a cell that the cost of its epochs may depend on, as in `TimedCell.params`."""
    raw = cell.raw
    flat = {
        f"{top}.{key}": value for top in ("dataset", "model") for key, value in raw[top].items() if key != "_target_"
    }
    flat |= {key: raw[key] for key in SAME_COST if key in raw and key not in cell.choices}
    return {**cell.choices, **{key: str(value) for key, value in flat.items()}, DATA: cell.fingerprint}


def _traits(params: Mapping[str, str]) -> tuple[Traits, Traits]:
    """Return the traits to share with past cells: first all of them, then those of `SAME_NETWORK` as a fallback."""
    model = sorted(key for key in params if key.startswith("model."))
    everything = tuple((key, params.get(key, "")) for key in (*SAME_COST, *model))
    return everything, tuple((key, params.get(key, "")) for key in SAME_NETWORK)


def _makespan(durations: Sequence[float], num_slots: int) -> float:
    """Return the time when the last cell ends, in seconds, if each begins in the slot that is free first."""
    free = [0.0] * num_slots
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s'[: count != 1]}"


def format_duration(seconds: float) -> str:
    """Return a duration with at most two units, as in `3 h 20 min`."""
    whole = round(seconds)
    for unit, size, below, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {below}"
    return f"{whole} s"
