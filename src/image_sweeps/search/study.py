"""The memory of a search: Optuna's study, in a storage that survives the processes that use it.

One process asks for trials; one process per trial reports every epoch and tells how the trial ended. Each of them may
die at any moment.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from image_sweeps.cell.folders import SweepFile
from image_sweeps.cell.result import Result
from image_sweeps.cell.status import CellStatus
from image_sweeps.search.algorithms import build_sampler
from image_sweeps.search.options import Objective, Pruner, Sampler, objective_values
from image_sweeps.search.optuna_internals import set_intermediate_value, set_user_attr
from image_sweeps.search.space import Point, Space
from image_sweeps.system.files import has_locks, locked

if TYPE_CHECKING:  # an extra
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

POSITION, CELL, EPOCHS, SAME_AS, REFUSED, ABANDONED = "position", "cell", "epochs", "same_as", "refused", "abandoned"
"""The user attributes of a trial: its position in the search, from 0; the id of its cell; the number of epochs that it
trained; the number of an earlier trial with the same cell; why it has no cell; why it does not count."""


class _Lock:
    """A lock of Optuna's journal that the system releases when its owner dies; Optuna's own lock stays for 30 s."""

    def __init__(self, path: Path) -> None:
        self.lock = FileLock(path)

    def acquire(self) -> bool:
        self.lock.acquire()
        return True

    def release(self) -> None:
        self.lock.release()


def storage_at(folder: Path, address: str | None) -> "BaseStorage":
    """Return the storage for the search of the sweep in `folder`.

    Args:
        folder: the folder of the sweep.
        address: the address of a database, or None for a journal in the folder.
    """
    from optuna.storages import RDBStorage
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    if address is not None:
        return RDBStorage(address)
    path, lock = folder / SweepFile.STUDY, folder / SweepFile.STUDY_LOCK
    return JournalStorage(JournalFileBackend(str(path), lock_obj=_Lock(lock) if has_locks(lock) else None))


def repair_journal(folder: Path) -> None:
    """Remove an incomplete last line, left by a dead process or a full disk: it would make the journal unreadable."""
    path = folder / SweepFile.STUDY
    if not path.exists() or (content := path.read_bytes()).endswith(b"\n") or not content:
        return
    with locked(folder / SweepFile.STUDY_LOCK), path.open("rb+") as file:
        file.truncate(file.read().rfind(b"\n") + 1)


def study_name(folder: Path, address: str | None) -> str:
    """Return the name of the study, from which Hyperband derives brackets: in a journal, the same for every search."""
    return "search" if address is None else f"search {folder.name}"


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress Optuna's line per trial, its messages about parameters that only some trials have, and its warnings of
    experimental features: many of those that are used here count as experimental.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


class TrialStore:
    """The trials of a search, for the process that asks for them; only one process at a time does.

    Args:
        folder: the folder of the sweep.
        address: the address of a database, or None for a journal in the folder.
        directions: `maximize` or `minimize` for each objective.
    """

    def __init__(self, folder: Path, address: str | None, directions: Sequence[str]) -> None:
        import optuna

        if address is None:
            repair_journal(folder)
        with quiet():
            self.study: Study = optuna.create_study(
                study_name=study_name(folder, address),
                storage=storage_at(folder, address),
                directions=list(directions),
                load_if_exists=True,
            )

    def trials(self) -> list["FrozenTrial"]:
        """Return the trials that count, one per position: the latest if several were tried there."""
        at: dict[int, FrozenTrial] = {}
        for trial in self.study.get_trials(deepcopy=False):
            if (position := trial.user_attrs.get(POSITION)) is not None and ABANDONED not in trial.user_attrs:
                at[position] = trial
        return [at[position] for position in sorted(at)]

    def fail_incomplete_trials(self, space: Space) -> None:
        """Fail the trials that never began because the process that asked for them died."""
        from optuna.trial import TrialState

        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if POSITION not in trial.user_attrs or not space.is_whole(trial.params):
                self._set(trial, ABANDONED, "the process that asked for it died")
                self.study.tell(trial.number, state=TrialState.FAIL)

    def ask(
        self, position: int, sampler: Sampler, pruner: Pruner, num_epochs: int, space: Space, fixed: Point | None
    ) -> "FrozenTrial":
        """Ask for the trial at `position`, with a value for each of its parameters.

        Args:
            position: the first free position, or the position of a failed trial to repeat.
            sampler: the options of the sampler that proposes the trial.
            pruner: the options of the pruner; Hyperband shows the sampler only the trials of its own bracket.
            num_epochs: the largest number of epochs of the trial.
            space: the space of the search.
            fixed: the point to propose, or None if the sampler chooses it.
        """
        from optuna.samplers import PartialFixedSampler

        from image_sweeps.search.algorithms import build_pruner

        with quiet():
            base = build_sampler(sampler, position)
            self.study.sampler = base if fixed is None else PartialFixedSampler(dict(fixed), base)
            self.study.pruner = build_pruner(pruner, num_epochs)
            trial = self.study.ask()
            trial.set_user_attr(POSITION, position)
            space.suggest(trial)
        return self.trial(trial.number)

    def trial(self, number: int) -> "FrozenTrial":
        """Return the trial with this number in its present state."""
        return self.study.get_trials(deepcopy=False)[number]

    def set_cell(self, trial: "FrozenTrial", cell: str, same_as: int | None) -> None:
        """Record the cell of a trial, and the number of the earlier trial with the same cell, if there is one."""
        self._set(trial, CELL, cell)
        if same_as is not None:
            self._set(trial, SAME_AS, same_as)

    def tell(self, trial: "FrozenTrial", result: Result, objectives: Sequence[Objective]) -> None:
        """Tell the study how the cell of the trial ended, unless the cell has told it itself."""
        if (original := trial.user_attrs.get(SAME_AS)) is not None and len(objectives) == 1:
            for step, value in self.trial(original).intermediate_values.items():
                if step not in trial.intermediate_values:
                    set_intermediate_value(self.study, trial, step, value)
        tell(self.study, trial.number, result, objectives, num_epochs=0 if original is not None else None)

    def refuse(self, trial: "FrozenTrial", why: str) -> None:
        """End a trial that has no cell because its values do not go together, and record the reason."""
        from optuna.trial import TrialState

        self._set(trial, REFUSED, why)
        single = len(self.study.directions) == 1
        self.study.tell(trial.number, state=TrialState.PRUNED if single else TrialState.FAIL)

    def _set(self, trial: "FrozenTrial", key: str, value: object) -> None:
        set_user_attr(self.study, trial, key, value)


def tell(
    study: "Study", number: int, result: Result, objectives: Sequence[Objective], num_epochs: int | None = None
) -> None:
    """Tell the study how the cell of a trial ended; do nothing if the study knows it.

    The process of the cell does so, or the process that asked for the trial if the former died before; both may do so
    at the same time.
    """
    from optuna.trial import TrialState

    trial = study.get_trials(deepcopy=False)[number]
    if trial.state.is_finished():
        return
    try:
        epochs = result.num_epochs if num_epochs is None else num_epochs
        set_user_attr(study, trial, EPOCHS, epochs)
        if result.finished:
            study.tell(number, objective_values(result, objectives))
        else:
            study.tell(number, state=TrialState.PRUNED if result.status is CellStatus.PRUNED else TrialState.FAIL)
    except (RuntimeError, ValueError):
        if not study.get_trials(deepcopy=False)[number].state.is_finished():
            raise
