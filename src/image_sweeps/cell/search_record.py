"""The record of a search, `search.json`, from which the report is made without Optuna.

The study of Optuna holds the same facts, except for the confirmation.
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
"""The only factor of a search. Its levels are the default configuration and the configurations of the trials."""

Cost = tuple[float, ...]
"""The value of a trial in each objective, negated if the objective is maximized, so that the smallest is the best."""


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        number: the number of the trial in the study, from 0.
        cell: the id of the trial's cell; None if the values of the trial are an invalid combination.
        state: the status of the trial.
        values: the values of the objectives; None if the trial did not finish.
        best: the first objective at the best epoch of a finished or pruned trial; None if it is not known.
        point: the values of the parameters, as one would type them, by the keys of the space.
        num_epochs: the number of epochs that were trained for the trial.
        seconds: the time that these epochs took.
        same_as: the number of an earlier trial with the same cell, if any: then nothing was trained for this one.
        reason: why the trial has no values.
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
    """The present state of a search.

    Attributes:
        objectives: the names of the objectives.
        directions: `maximize` or `minimize` for each objective.
        sampler, pruner: the sampler and the pruner as configured.
        space: the definition of each parameter as the user wrote it.
        n_trials: the number of trials that the search aims at; None if another limit ends the search.
        num_epochs: the largest number of epochs of a trial.
        default: the id of the cell with the default configuration, by which a resumed search is recognized.
        complete: whether no trial is left to be run.
        trials: the trials in their order.
        importances: shares of the parameters that add up to 1; None if the search is incomplete or has too few trials.
        confirmed: the configuration of each cell that was trained with fresh seeds, by the id of the cell.
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
        """Write the record into the folder of the sweep."""
        write_text(folder / SweepFile.SEARCH, json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Return the search record of the sweep in `folder`, or None if the sweep is no search."""
        path = folder / SweepFile.SEARCH
        if not path.exists():
            return None
        content = json.loads(path.read_text())
        trials = [Trial(**{**trial, "state": CellStatus(trial["state"])}) for trial in content["trials"]]
        return cls(**{**content, "trials": trials})


def cost_of(values: Iterable[float], directions: Iterable[str]) -> Cost:
    """Return the cost of these values of the objectives; each direction is `maximize` or `minimize`."""
    pairs = zip(values, directions, strict=True)
    return tuple(-value if direction == "maximize" else value for value, direction in pairs)


def pareto_front(costs: Mapping[int, Cost]) -> list[int]:
    """Return the trials that no other trial beats, by being as good in every objective and better in one (Pareto)."""
    return [number for number, own in costs.items() if not any(_beats(other, own) for other in costs.values())]


def _beats(other: Cost, own: Cost) -> bool:
    return other != own and all(o <= c for o, c in zip(other, own, strict=True))
