"""A trial, from within its cell: it reports every epoch, may be given up, and tells how it ended.

A cell that is no trial has no `trial.json` in its folder, and nothing of this costs it more than looking for that.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from pydantic import TypeAdapter

from image_sweeps.cell.folders import CellFile
from image_sweeps.cell.result import Pruned
from image_sweeps.fit.epoch import Epoch
from image_sweeps.search.options import REPORTED, Goal, Pruner
from image_sweeps.system.files import write_text

if TYPE_CHECKING:
    from optuna.study import Study

    from image_sweeps.cell.result import Result
    from image_sweeps.fit.checkpoint import TrainingHistory


class TrialPruner(Protocol):
    """Whether a cell is worth going on with."""

    def report(self, epochs: Sequence[Epoch]) -> None:
        """All epochs so far; those that are known already do not matter."""

    def should_prune(self) -> bool:
        """Whether to give the cell up, after the epochs that were reported."""

    def diverged(self, past: "TrainingHistory", why: Exception) -> None:
        """The cell cannot go on.

        Raises:
            Pruned: where that is worth knowing, and no failure.
        """

    def tell(self, result: "Result") -> None:
        """How the cell ended."""


class NoPruner:
    """Of a cell that is no trial."""

    def report(self, epochs: Sequence[Epoch]) -> None:
        pass

    def should_prune(self) -> bool:
        return False

    def diverged(self, past: "TrainingHistory", why: Exception) -> None:
        pass

    def tell(self, result: "Result") -> None:
        pass


@dataclass(frozen=True)
class Assignment:
    """What the cell of a trial has to know. `trial.json` in its folder holds it.

    Attributes:
        number: of the trial, in the study.
        storage: the address of a database; None for the journal in the sweep's folder.
        objectives: the names of what is to be reached.
        pruner: as configured, `{"name": "median", ...}`.
        num_epochs: that the trial has at most.
    """

    number: int
    storage: str | None
    objectives: list[Goal]
    pruner: dict[str, Any]
    num_epochs: int

    def save(self, folder: Path) -> None:
        write_text(folder / CellFile.TRIAL, json.dumps(asdict(self), indent=2))

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """That of the cell in `folder`; None where it is no trial."""
        path = folder / CellFile.TRIAL
        return cls(**json.loads(path.read_text())) if path.exists() else None


def pruner_for(folder: Path, note: Callable[[str], object]) -> TrialPruner:
    """Who judges the cell in `folder`.

    Args:
        folder: the cell's own.
        note: is told where the search cannot be reached.
    """
    assignment = Assignment.load(folder)
    return NoPruner() if assignment is None else TrialReporter(assignment, folder.parent, note)


class TrialReporter:
    """The pruner of the search, which compares the cell with the other trials.

    A search that cannot be reached is no reason to lose what the cell learns: it goes on, and is not pruned.
    """

    def __init__(self, assignment: Assignment, sweep_folder: Path, note: Callable[[str], object]) -> None:
        self.assignment, self.sweep_folder, self.note = assignment, sweep_folder, note
        self.pruner: Pruner = TypeAdapter(Pruner).validate_python(assignment.pruner)
        goals = assignment.objectives
        self.reports = len(goals) == 1 and goals[0] in REPORTED  # of several objectives, Optuna takes no reports
        self._opened: Study | None = None

    def report(self, epochs: Sequence[Epoch]) -> None:
        if self.reports and epochs:
            self._try(lambda: self._report(epochs))

    def should_prune(self) -> bool:
        return self.pruner.name != "none" and bool(self._try(lambda: self._trial().should_prune()))

    def diverged(self, past: "TrainingHistory", why: Exception) -> None:
        raise Pruned(f"pruned: {why}", past.epochs, past.watch.best) from why

    def tell(self, result: "Result") -> None:
        from image_sweeps.search.study import tell

        if result.over:  # who asked for it decides whether one that failed is tried again
            self._try(lambda: tell(self._study(), self.assignment.number, result, self.assignment.objectives))

    def _report(self, epochs: Sequence[Epoch]) -> None:
        trial = self._trial()
        known = self._study().get_trials(deepcopy=False)[self.assignment.number].intermediate_values
        for epoch in epochs:
            if epoch.number not in known:
                accuracy = self.assignment.objectives[0] == "val/accuracy"
                trial.report(epoch.val_accuracy if accuracy else epoch.val_loss, epoch.number)

    def _trial(self) -> Any:
        from optuna.trial import Trial

        study = self._study()
        return Trial(study, study.get_trials(deepcopy=False)[self.assignment.number]._trial_id)

    def _study(self) -> "Study":
        if self._opened is None:
            import optuna

            from image_sweeps.search.algorithms import pruner_of
            from image_sweeps.search.study import name_of, quiet, storage_at

            address = self.assignment.storage
            with quiet():
                self._opened = optuna.load_study(
                    study_name=name_of(self.sweep_folder, address),
                    storage=storage_at(self.sweep_folder, address),
                    sampler=optuna.samplers.RandomSampler(),  # nothing is drawn here
                    pruner=pruner_of(self.pruner, self.assignment.num_epochs),
                )
        return self._opened

    def _try(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except Exception as error:  # of the database, its driver, the disk, or Optuna
            reason = str(error).strip().splitlines() or [type(error).__name__]
            self.note(
                f"the search cannot be reached, and its trials go on unjudged: {type(error).__name__}: {reason[0]}"
            )
            return None
