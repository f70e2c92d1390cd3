"""A trial as seen from its cell: the cell reports every epoch, may be pruned, and tells how it ended.

A cell that is not a trial has no `trial.json` in its folder; looking for that file is all that this module costs it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import TypeAdapter

from image_sweeps.cell.folders import CellFile
from image_sweeps.cell.result import Pruned
from image_sweeps.fit.epoch import Epoch
from image_sweeps.search.options import REPORTED, Objective, Pruner
from image_sweeps.system.files import write_text

if TYPE_CHECKING:
    from optuna.study import Study

    from image_sweeps.cell.result import Result
    from image_sweeps.fit.checkpoint import TrainingHistory


class TrialPruner:
    """A pruner of one cell, asked after every epoch. This one is for a cell that is no trial: it prunes nothing."""

    def report(self, epochs: Sequence[Epoch]) -> None:
        """Report all epochs so far; epochs that were reported before are ignored."""

    def should_prune(self) -> bool:
        """Return whether to prune the cell after the reported epochs."""
        return False

    def diverged(self, past: "TrainingHistory", why: Exception) -> None:
        """Report that the training of the cell diverged.

        Raises:
            Pruned: if the cell is a trial, for which divergence is information and not a failure.
        """

    def tell(self, result: "Result") -> None:
        """Tell the search how the cell ended."""


@dataclass(frozen=True)
class Assignment:
    """The facts about a trial that its cell needs; `trial.json` in the folder of the cell holds them.

    Attributes:
        number: the number of the trial in the study.
        storage: the address of a database, or None for the journal in the folder of the sweep.
        objectives: the names of the objectives.
        pruner: the options of the pruner, `{"name": "median", ...}`.
        num_epochs: the largest number of epochs of the trial.
    """

    number: int
    storage: str | None
    objectives: list[Objective]
    pruner: dict[str, Any]
    num_epochs: int

    def save(self, folder: Path) -> None:
        write_text(folder / CellFile.TRIAL, json.dumps(asdict(self), indent=2))

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Return the assignment of the cell in `folder`, or None if the cell is not a trial."""
        path = folder / CellFile.TRIAL
        return cls(**json.loads(path.read_text())) if path.exists() else None


def trial_pruner(folder: Path, note: Callable[[str], object]) -> TrialPruner:
    """Return the pruner of the cell in `folder`.

    Args:
        folder: the folder of the cell.
        note: is called with a message if the search cannot be reached.
    """
    assignment = Assignment.load(folder)
    return TrialPruner() if assignment is None else TrialReporter(assignment, folder.parent, note)


class TrialReporter(TrialPruner):
    """The pruner of a trial, which lets the pruner of the search compare the cell with the other trials.

    If the search cannot be reached, the cell goes on without being pruned, so that its training is not lost.
    """

    def __init__(self, assignment: Assignment, sweep_folder: Path, note: Callable[[str], object]) -> None:
        self.assignment, self.sweep_folder, self.note = assignment, sweep_folder, note
        self.pruner: Pruner = TypeAdapter(Pruner).validate_python(assignment.pruner)
        goals = assignment.objectives
        self.reports = len(goals) == 1 and goals[0] in REPORTED  # Optuna accepts no reports for several objectives
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

        if result.over:  # the search decides whether a failed cell is retried
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

            from image_sweeps.search.algorithms import build_pruner
            from image_sweeps.search.study import quiet, storage_at, study_name

            address = self.assignment.storage
            with quiet():
                self._opened = optuna.load_study(
                    study_name=study_name(self.sweep_folder, address),
                    storage=storage_at(self.sweep_folder, address),
                    sampler=optuna.samplers.RandomSampler(),  # draws nothing here
                    pruner=build_pruner(self.pruner, self.assignment.num_epochs),
                )
        return self._opened

    def _try(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except Exception as error:  # from the database, its driver, the disk, or Optuna
            reason = str(error).strip().splitlines() or [type(error).__name__]
            self.note(
                f"the search cannot be reached, and its trials go on unjudged: {type(error).__name__}: {reason[0]}"
            )
            return None
