"""What is known of a search, written down for its report, which is made without Optuna: `search.json`.

The study has it all too, but for the confirmation.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from image_sweeps.cell.folders import SweepFile
from image_sweeps.cell.status import CellStatus
from image_sweeps.system.files import write_text

CONFIGURATION = "configuration"
"""The factor of a search: which of its configurations a cell has, the default one or that of a trial."""

Cost = tuple[float, ...]
"""What a trial reached in each objective, turned so that the smallest is the best."""


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        number: from 0.
        cell: its id; None where its values do not go together.
        state: what became of it.
        values: of the objectives; None where it did not finish.
        best: of the first objective, the best epoch of a trial that was pruned; None where none was measured.
        point: its values, as one would type them, by the keys of the space.
        num_epochs: that were trained for it.
        seconds: that these took.
        same_as: the earlier trial that had the same cell, if any: nothing was trained for this one.
        reason: why it has no value.
    """

    number: int
    cell: str | None
    state: CellStatus
    values: list[float] | None
    best: float | None
    point: dict[str, str]
    num_epochs: int
    seconds: float
    same_as: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class SearchRecord:
    """A search, as far as it has come.

    Attributes:
        objectives: the names of what is to be reached.
        directions: maximize or minimize, of each.
        sampler, pruner: as configured.
        space: what was written of each parameter.
        n_trials: that it goes on to; None where another limit ends it.
        num_epochs: of a trial, at most.
        default: the id of the cell without anything that varies, by which a search is known again.
        complete: whether nothing is left to be tried.
        trials: in order.
        importances: of the parameters, shares that add up to 1; None where there are too few trials to tell.
        confirmed: the cells that were trained with fresh seeds, and the configuration of each.
    """

    objectives: list[str]
    directions: list[str]
    sampler: dict[str, Any]
    pruner: dict[str, Any]
    space: dict[str, str]
    n_trials: int | None
    num_epochs: int
    default: str
    complete: bool
    trials: Sequence[Trial]
    importances: Mapping[str, float] | None
    confirmed: Mapping[str, str]

    def save(self, folder: Path) -> None:
        """Write it into the sweep's folder."""
        write_text(folder / SweepFile.SEARCH, json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """That of the sweep in `folder`; None where it is no search."""
        path = folder / SweepFile.SEARCH
        if not path.exists():
            return None
        content = json.loads(path.read_text())
        trials = [Trial(**{**trial, "state": CellStatus(trial["state"])}) for trial in content["trials"]]
        return cls(**{**content, "trials": trials})


def cost_of(values: Iterable[float], directions: Iterable[str]) -> Cost:
    """The cost of these values of the objectives, each of which is to be maximized or minimized."""
    pairs = zip(values, directions, strict=True)
    return tuple(-value if direction == "maximize" else value for value, direction in pairs)


def pareto_front(costs: Mapping[int, Cost]) -> list[int]:
    """The trials that no other beats, which would be as good in every objective and better in one (Pareto)."""
    return [number for number, own in costs.items() if not any(_beats(other, own) for other in costs.values())]


def _beats(other: Cost, own: Cost) -> bool:
    return other != own and all(o <= c for o, c in zip(other, own, strict=True))
