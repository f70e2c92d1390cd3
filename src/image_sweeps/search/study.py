"""The memory of a search: Optuna's study, in a storage that survives whoever asks it and tells it.

Several processes use it: the one that asks for trials, and one a trial, which reports every epoch and tells how it
ended. Each may die at any moment.
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
from image_sweeps.search.algorithms import sampler_for
from image_sweeps.search.options import Goal, Pruner, Sampler, values_of
from image_sweeps.search.optuna_internals import set_intermediate_value, set_user_attr
from image_sweeps.search.space import Point, Space
from image_sweeps.system.files import has_locks, locked

if TYPE_CHECKING:  # an extra
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

"""In the sweep's folder, where the search is not in a database."""

POSITION, CELL, EPOCHS, SAME_AS, REFUSED, ABANDONED = "position", "cell", "epochs", "same_as", "refused", "abandoned"
"""What a trial's attributes are called: its place among the trials of the search, from 0; its cell; the epochs that it
trained; the number of the trial whose cell is the same; why it has no cell; why it does not count."""


class _Lock:
    """The lock of a journal: the system's, which falls with its owner. Optuna's own outlives it, for 30 s."""

    def __init__(self, path: Path) -> None:
        self.lock = FileLock(path)

    def acquire(self) -> bool:
        self.lock.acquire()
        return True

    def release(self) -> None:
        self.lock.release()


def storage_at(folder: Path, address: str | None) -> "BaseStorage":
    """The storage of the search of the sweep in `folder`.

    Args:
        folder: the sweep's.
        address: of a database, or None for a journal in the folder.
    """
    from optuna.storages import RDBStorage
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    if address is not None:
        return RDBStorage(address)
    path, lock = folder / SweepFile.STUDY, folder / SweepFile.STUDY_LOCK
    return JournalStorage(JournalFileBackend(str(path), lock_obj=_Lock(lock) if has_locks(lock) else None))


def mend(folder: Path) -> None:
    """Take away what a process that died, or a full disk, has left of a line: the journal could not be read on."""
    path = folder / SweepFile.STUDY
    if not path.exists() or (content := path.read_bytes()).endswith(b"\n") or not content:
        return
    with locked(folder / SweepFile.STUDY_LOCK), path.open("rb+") as file:
        file.truncate(file.read().rfind(b"\n") + 1)


def name_of(folder: Path, address: str | None) -> str:
    """The study's, in its storage. Hyperband deals trials out by it: in a journal, the same for every search."""
    return "search" if address is None else f"search {folder.name}"


@contextmanager
def quiet() -> Iterator[None]:
    """Without Optuna's line for every trial, what it says of parameters that only some trials have, and its warnings of
    what it calls experimental, as it does a good part of what is used here.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


class TrialStore:
    """What the search knows, for the process that asks for trials; one at a time does.

    Args:
        folder: the sweep's.
        address: of a database, or None.
        directions: of the objectives.
    """

    def __init__(self, folder: Path, address: str | None, directions: Sequence[str]) -> None:
        import optuna

        if address is None:
            mend(folder)
        with quiet():
            self.study: Study = optuna.create_study(
                study_name=name_of(folder, address),
                storage=storage_at(folder, address),
                directions=list(directions),
                load_if_exists=True,
            )

    def trials(self) -> list["FrozenTrial"]:
        """Those that count, one for each position, the latest where several were tried."""
        at: dict[int, FrozenTrial] = {}
        for trial in self.study.get_trials(deepcopy=False):
            if (position := trial.user_attrs.get(POSITION)) is not None and ABANDONED not in trial.user_attrs:
                at[position] = trial
        return [at[position] for position in sorted(at)]

    def fail_incomplete_trials(self, space: Space) -> None:
        """Give up what was asked for and never begun, because the process that asked died meanwhile."""
        from optuna.trial import TrialState

        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if POSITION not in trial.user_attrs or not space.is_whole(trial.params):
                self._set(trial, ABANDONED, "the process that asked for it died")
                self.study.tell(trial.number, state=TrialState.FAIL)

    def ask(
        self, position: int, sampler: Sampler, pruner: Pruner, num_epochs: int, space: Space, fixed: Point | None
    ) -> "FrozenTrial":
        """The trial at `position`, with a value for each of its parameters.

        Args:
            position: the first that is free.
            sampler: what proposes it.
            pruner: Hyperband shows the sampler its own bracket's trials only.
            num_epochs: of the trial, at most.
            space: where.
            fixed: what is proposed, where that is known.
        """
        from optuna.samplers import PartialFixedSampler

        from image_sweeps.search.algorithms import pruner_of

        with quiet():
            base = sampler_for(sampler, position)
            self.study.sampler = base if fixed is None else PartialFixedSampler(dict(fixed), base)
            self.study.pruner = pruner_of(pruner, num_epochs)
            trial = self.study.ask()
            trial.set_user_attr(POSITION, position)
            space.suggest(trial)
        return self.trial(trial.number)

    def trial(self, number: int) -> "FrozenTrial":
        """As it is now."""
        return self.study.get_trials(deepcopy=False)[number]

    def belongs(self, trial: "FrozenTrial", cell: str, same_as: int | None) -> None:
        """Note the cell of a trial, and of which other trial it is the cell too."""
        self._set(trial, CELL, cell)
        if same_as is not None:
            self._set(trial, SAME_AS, same_as)

    def tell(self, trial: "FrozenTrial", result: Result, objectives: Sequence[Goal]) -> None:
        """How the trial's cell has ended, where the cell has not said so itself."""
        if (original := trial.user_attrs.get(SAME_AS)) is not None and len(objectives) == 1:
            for step, value in self.trial(original).intermediate_values.items():
                if step not in trial.intermediate_values:
                    set_intermediate_value(self.study, trial, step, value)
        tell(self.study, trial.number, result, objectives, num_epochs=0 if original is not None else None)

    def refuse(self, trial: "FrozenTrial", why: str) -> None:
        """There is no such cell: its values do not go together."""
        from optuna.trial import TrialState

        self._set(trial, REFUSED, why)
        single = len(self.study.directions) == 1
        self.study.tell(trial.number, state=TrialState.PRUNED if single else TrialState.FAIL)

    def _set(self, trial: "FrozenTrial", key: str, value: object) -> None:
        set_user_attr(self.study, trial, key, value)


def tell(
    study: "Study", number: int, result: Result, objectives: Sequence[Goal], num_epochs: int | None = None
) -> None:
    """Tell the study how a trial's cell has ended; nothing where it knows.

    The cell's own process does, and the one that asked for the trial where that died before: both may, at a time.
    """
    from optuna.trial import TrialState

    trial = study.get_trials(deepcopy=False)[number]
    if trial.state.is_finished():
        return
    try:
        epochs = result.num_epochs if num_epochs is None else num_epochs
        set_user_attr(study, trial, EPOCHS, epochs)
        if result.finished:
            study.tell(number, values_of(result, objectives))
        else:
            study.tell(number, state=TrialState.PRUNED if result.status is CellStatus.PRUNED else TrialState.FAIL)
    except (RuntimeError, ValueError):
        if not study.get_trials(deepcopy=False)[number].state.is_finished():
            raise
