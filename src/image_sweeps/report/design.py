"""The design of a comparison of cells: its settings, its configurations, and its replicates.

A configuration consists of everything that cells share if they differ only in their replicate. A setting that follows
from another one (a network that brings its own norm) is not a factor: the two effects could not be separated.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from image_sweeps.cell.search_record import CONFIGURATION
from image_sweeps.config.schema import GROUPS, SEED, Config, is_scientific
from image_sweeps.report.record import MEASURE, Record, Subject

SPLITS = ("dataset.fold", "dataset.split_seed")
"""The keys of replicates that are trained and tested on other images."""

CHOICES = (*GROUPS, "experiment", CONFIGURATION)
"""The keys whose values determine other settings as well."""

Levels = tuple[str, ...]


@dataclass(frozen=True)
class Design:
    """The design of a comparison of cells.

    Attributes:
        factors: the settings that are compared, with their values in order.
        follows: the other settings that vary, each with the factor that it follows from.
        replicates: the keys in which replicates differ, with their values; empty if there are no replicates.
        configurations: C tuples of values, in the order of `factors`.
        members: the cells of each configuration, C tuples.
        columns: the values that identify a replicate, R tuples: the splits if those differ, else the seeds.
        overlap: test images per training image if replicates are splits, else 0; see `statistics.estimate`.
    """

    factors: dict[str, Levels]
    follows: dict[str, str]
    replicates: dict[str, Levels]
    configurations: tuple[Levels, ...]
    members: tuple[tuple[Record, ...], ...]
    columns: tuple[Levels, ...]
    overlap: float

    @classmethod
    def of(cls, subject: Subject) -> "Design":
        """Return the design of all cells of `subject`, finished or not."""
        cells = subject.cells
        replicates = {key: tuple(subject.factors[key]) for key in (SEED, *SPLITS) if key in subject.factors}
        settings = {key: tuple(values) for key, values in subject.factors.items() if key not in replicates}
        choices = {key: [cell.choices.get(key, "") for cell in cells] for key in GROUPS if key not in settings}
        columns = {key: [cell.levels[key] for cell in cells] for key in settings}
        follows = _dependent({**columns, **_varying(choices)}, settings)
        factors = {key: values for key, values in settings.items() if key not in follows}
        members: dict[Levels, list[Record]] = {}
        for cell in cells:
            members.setdefault(tuple(cell.levels[key] for key in factors), []).append(cell)
        splits = [key for key in SPLITS if key in replicates]
        return cls(
            factors=factors,
            follows=follows,
            replicates=replicates,
            configurations=tuple(members),
            members=tuple(map(tuple, members.values())),
            columns=tuple(dict.fromkeys(_column(cell, splits) for cell in cells)),
            overlap=_overlap(cells) if splits else 0.0,
        )

    @property
    def splits(self) -> list[str]:
        """The keys of the splits in which replicates differ."""
        return [key for key in SPLITS if key in self.replicates]

    def values(self, metric: str = MEASURE) -> NDArray[np.float64]:
        """Return a metric, C x R, NaN if no cell has finished; if replicates are splits, the means over their seeds."""
        place = {column: r for r, column in enumerate(self.columns)}
        total = np.zeros((len(self.configurations), len(self.columns)))
        count = np.zeros_like(total)
        for c, cells in enumerate(self.members):
            for cell in cells:
                if cell.finished:
                    r = place[_column(cell, self.splits)]
                    total[c, r] += cell.metrics.get(metric, np.nan)
                    count[c, r] += 1
        return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)

    def finished(self, configuration: int) -> list[Record]:
        """Return the finished cells of the configuration with this index."""
        return [cell for cell in self.members[configuration] if cell.finished]

    def name(self, configuration: int) -> str:
        """Return the configuration with this index as one would type it."""
        pairs = zip(self.factors, self.configurations[configuration], strict=True)
        return " ".join(level(key, value) for key, value in pairs)


def level(key: str, value: str) -> str:
    """Return a value as one would type it, or the name of a configuration of a search."""
    return value if key == CONFIGURATION else f"{key}={value}"


def _column(cell: Record, splits: Sequence[str]) -> Levels:
    return tuple(cell.levels[key] for key in splits) if splits else (cell.levels.get(SEED, ""),)


def _overlap(cells: Iterable[Record]) -> float:
    """Return the number of test images per training image, the mean over the cells with known numbers."""
    shares = [cell.num_images["test"] / cell.num_images["train"] for cell in cells if cell.num_images]
    return float(np.mean(shares)) if shares else 0.0


# --- settings that follow from others ---------------------------------------------------------------------------------


def _varying(columns: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    return {key: values for key, values in columns.items() if len(set(values)) > 1}


def _dependent(columns: Mapping[str, Sequence[str]], settings: Iterable[str]) -> dict[str, str]:
    """Return the keys that another setting determines, each with that setting.

    A choice determines what it brings along. Of two keys that determine each other, the first is kept in any case.
    """
    order = {key: place for place, key in enumerate(columns)}
    found: dict[str, str] = {}
    for key in reversed(order):
        for other in settings:
            if other in (key, *found) or not _settles(columns[other], columns[key]):
                continue
            mutual = _settles(columns[key], columns[other])
            if order[other] < order[key] if mutual else other in CHOICES:
                found[key] = other
                break
    return found


def _settles(values: Sequence[str], others: Sequence[str]) -> bool:
    """Return whether equal `values` always go with equal `others`."""
    return len(set(zip(values, others, strict=True))) == len(set(values))


# --- settings that vary between runs without a plan -------------------------------------------------------------------

IN_DOUBT = ("model", "dataset", "optimizer", "scheduler", "augmentation", "activation", "norm")
"""Groups by precedence: of two that determine each other, the first was chosen. A network brings its norm."""


def varying(params: Sequence[Mapping[str, str]], fingerprints: Sequence[str]) -> dict[str, list[str]]:
    """Return the values, run by run, of every scientific key that differs between runs, choices first.

    A key that follows from another one is left out.

    Args:
        params: the parameters of each run; a missing key counts as empty.
        fingerprints: the fingerprint of the data of each run; if these differ, `dataset.path` is considered too.
    """
    known = dict.fromkeys(key for run in params for key in run)
    keys = [key for key in known if key.split(".")[0] in Config.model_fields and is_scientific(key)]
    if len(set(fingerprints)) > 1:
        keys.append("dataset.path")
    ordered = [*(key for key in IN_DOUBT if key in known), *sorted(key for key in keys if key not in IN_DOUBT)]
    columns = _varying({key: [run.get(key, "") for run in params] for key in ordered})
    settings = {key: values for key, values in columns.items() if key not in (SEED, *SPLITS)}
    follows = _dependent(settings, settings)
    return {key: list(values) for key, values in columns.items() if key not in follows}


def in_order(values: Iterable[str]) -> list[str]:
    """Return each value once: numbers in ascending order, other values in the given order."""
    once = list(dict.fromkeys(values))
    try:
        return sorted(once, key=float)
    except ValueError:
        return once
