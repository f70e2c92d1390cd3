"""The run of a search: it asks for a trial whenever a slot is free, and confirms the best trials with fresh seeds.

No result is in this process alone. The process of a trial's cell reports to the study itself; if it dies before it has
told how the cell ended, the search reads that from the folder of the cell when it resumes.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from image_sweeps.cell.cell import Cell, SweepContext
from image_sweeps.cell.failure_policy import FailurePolicy
from image_sweeps.cell.result import Result, load_status
from image_sweeps.cell.saved_plan import SavedPlan, saved_cell
from image_sweeps.cell.search_record import CONFIGURATION, SearchRecord
from image_sweeps.cell.status import CellStatus, format_counts
from image_sweeps.config.options import SWEEPER
from image_sweeps.config.problems import ConfigError
from image_sweeps.search.launcher import Launcher
from image_sweeps.search.plan import DEFAULT, SearchPlan
from image_sweeps.search.space import Point
from image_sweeps.search.study import CELL, EPOCHS, POSITION, REFUSED, SAME_AS, TrialStore, storage_at
from image_sweeps.search.study_record import record_of, winners
from image_sweeps.search.terminal import show_confirmation, show_dry_search, show_search
from image_sweeps.search.trial import Assignment
from image_sweeps.sweep.plan import Plan
from image_sweeps.sweep.run import Sweep, plan_to_save, run_and_report
from image_sweeps.sweep.terminal import show_statuses
from image_sweeps.system.console import show_error
from image_sweeps.system.interrupt import Interrupt

if TYPE_CHECKING:  # an extra
    from optuna.trial import FrozenTrial


def run_search(plan: SearchPlan, launcher: Launcher) -> int:
    """Run the missing part of the search, show all failures, and return the exit code.

    Raises:
        ConfigError: if a storage cannot be opened, or if the search to resume does not exist, is running, is another
            one, or depends on something that has changed.
    """
    config = plan.default.config
    folder, planned = plan_to_save(Plan(plan.factors, (plan.default,), 0), config)
    _refuse_another(plan, folder)
    _require_storage(plan.options.storage, folder)
    show_search(planned.sweep, plan)

    def work(sweep: Sweep, interrupt: Interrupt) -> None:
        Search(plan, planned, sweep).run(launcher, interrupt)

    return run_and_report(config, (), folder, planned, work)


def dry_run(plan: SearchPlan, num_slots: int) -> None:
    """Show what `run_search` would do, without doing it.

    Raises:
        ConfigError: if the search to resume does not exist, is another one, or depends on something that has changed.
    """
    from image_sweeps.sweep.estimate import estimate_time
    from image_sweeps.sweep.past import past_cells

    config = plan.default.config
    folder, _ = plan_to_save(Plan(plan.factors, (plan.default,), 0), config)
    _refuse_another(plan, folder)
    record = SearchRecord.load(folder)
    show_search("not begun" if record is None else folder.name, plan)
    num_over = sum(trial.state is not CellStatus.RUNNING for trial in record.trials) if record else 0
    num_trials = num_wanted(plan)
    left = [plan.default] * max(0, (num_trials or 0) - num_over)
    past = past_cells(config, {plan.default.fingerprint})
    show_dry_search(num_over, num_trials, estimate_time(left, past, num_slots) if num_trials else None)


def num_wanted(plan: SearchPlan) -> int | None:
    """Return the total number of trials, or None if another limit ends the search."""
    if plan.options.sampler.name != "grid":
        return plan.options.n_trials
    num_points = len(plan.space.grid() or ())
    return min(num_points, plan.options.n_trials or num_points)


class Search:
    """A running search.

    Args:
        plan: the space and the options of the search.
        planned: the saved plan; the cells of trials are added to it.
        sweep: the folder and the run of the search; the cells of trials are added to it.
    """

    def __init__(self, plan: SearchPlan, planned: SavedPlan, sweep: Sweep) -> None:
        self.plan, self.planned, self.sweep, self.options = plan, planned, sweep, plan.options
        self.config, self.folder = plan.default.config, sweep.folder
        self.policy = FailurePolicy.of(self.config)
        self.trial_store = TrialStore(self.folder, self.options.storage, self.options.directions)
        self.begun = time.monotonic()
        self.attempts: Counter[str] = Counter()
        self.launched: set[str] = set()
        self.over: dict[str, Result] = {}
        self.cells: dict[str, Cell] = {}
        self.retry_points: dict[int, Point | None] = {}
        self.num_wanted = num_wanted(plan)
        earlier = SearchRecord.load(self.folder)
        self.confirmed = dict(earlier.confirmed) if earlier else {}

    def run(self, launcher: Launcher, interrupt: Interrupt) -> None:
        """Run the remaining trials, and confirm the best ones.

        Raises:
            KeyboardInterrupt: if the user or the machine asked to stop.
        """
        self.load_status()
        try:
            while not self.is_over():
                self.launched.clear()
                launcher.run_cells(self.cell_folders(), self._num_left())
                if interrupt.requested:
                    raise KeyboardInterrupt
                self._catch_up()
                if self._ended_by_failure() or not any(map(self.load_result, self.launched)):
                    break
            if not self._ended_by_failure():
                self._confirm(launcher, interrupt)
        finally:
            self.save_record()

    def load_status(self) -> None:
        """Restore the state of the search from its study and folder, and show it."""
        self.trial_store.fail_incomplete_trials(self.plan.space)
        for trial in self.trial_store.trials():
            if CELL in trial.user_attrs:
                self._register(self._cell_of(trial))
            elif not trial.state.is_finished():
                self._assign_cell(trial)
        self._catch_up()
        trials = self.trial_store.trials()
        self.retry_points = {
            t.user_attrs[POSITION]: t.params if self.plan.space.is_whole(t.params) else None
            for t in trials
            if t.state.name == "FAIL" and REFUSED not in t.user_attrs
        }
        if trials:
            statuses = [load_status(self.folder / str(t.user_attrs.get(CELL))) for t in trials]
            show_statuses(format_counts(statuses, "trial"), 0)
        self.save_record()

    # --- trials -------------------------------------------------------------------------------------------------------

    def cell_folders(self) -> Iterator[Path]:
        """Yield the folders of the cells to run; each is determined only when it is requested."""
        for trial in self.trial_store.trials():
            if not trial.state.is_finished() and SAME_AS not in trial.user_attrs:
                yield self._prepare(trial)
        while True:
            self._catch_up()
            if (failed := self._to_retry()) is not None:
                yield self._prepare(failed)
            elif self._exhausted():
                return
            elif (trial := self._ask()) is not None:
                yield self._prepare(trial)

    def _ask(self) -> "FrozenTrial | None":
        """Ask for one more trial; return None if its cell need not or cannot be run."""
        position, point = self._next()
        trial = self.trial_store.ask(
            position, self.options.sampler, self.options.pruner, self.config.epochs, self.plan.space, point
        )
        self.retry_points.pop(position, None)
        return self._assign_cell(trial)

    def _assign_cell(self, trial: "FrozenTrial") -> "FrozenTrial | None":
        """Give the trial its cell; return None if that cannot be run, or if another trial has the same cell."""
        try:
            cell = self.plan.trial(trial.params, _label(trial))
        except ConfigError as error:
            self.trial_store.refuse(trial, "; ".join(error.problems))
            show_error(f"{_label(trial)} cannot be: {'; '.join(error.problems)}")
            self.save_record()
            return None
        same = (
            t.number for t in self.trial_store.trials() if t.user_attrs.get(CELL) == cell.id and t.state.name != "FAIL"
        )
        same_as = next(same, None)
        self.trial_store.set_cell(trial, cell.id, same_as)
        self._register(cell)
        self.save_record()
        return self.trial_store.trial(trial.number) if same_as is None else None

    def _next(self) -> tuple[int, Point | None]:
        """Return the next position, and the point to try there if it is already known."""
        if self.retry_points:
            return next(iter(self.retry_points.items()))
        position = len(self.trial_store.trials())
        grid = self.plan.space.grid() if self.options.sampler.name == "grid" else None
        return position, grid[position] if grid else None

    def _prepare(self, trial: "FrozenTrial") -> Path:
        """Save everything that the process of the trial's cell needs, and return the folder of the cell."""
        cell = self.cells[trial.user_attrs[CELL]]
        folder = self.folder / cell.id
        position = trial.user_attrs[POSITION] + 1
        place = SweepContext(self.folder.name, position, max(position, self.num_wanted or 0))
        options = self.options
        pruner = options.pruner.model_dump()
        Result.remove(folder)
        replace(cell, sweep=place).save(folder)
        assignment = Assignment(trial.number, options.storage, options.objectives, pruner, self.config.epochs)
        assignment.save(folder)
        self.attempts[cell.id] += 1
        self.launched.add(cell.id)
        return folder

    def _catch_up(self) -> None:
        """Tell the study how trials ended whose processes have not: they died before, or the cell failed for good."""
        for trial in self.trial_store.trials():
            if trial.state.is_finished() or (cell := trial.user_attrs.get(CELL)) is None:
                continue
            result = self.load_result(cell)
            if result and (result.over or self._failed_for_good(result)):
                self.trial_store.tell(trial, result, self.options.objectives)

    def _to_retry(self) -> "FrozenTrial | None":
        """Return a trial whose cell failed and may be retried, or None."""
        for trial in self.trial_store.trials():
            cell = trial.user_attrs.get(CELL)
            if cell and not trial.state.is_finished() and SAME_AS not in trial.user_attrs:
                result = self.load_result(cell)
                if result is not None and result.status is CellStatus.FAILED:
                    return trial
        return None

    def _exhausted(self) -> bool:
        """Return whether the search asks for no other trial."""
        if self._ended_by_failure():
            return True
        if self.options.timeout_s is not None and time.monotonic() - self.begun >= self.options.timeout_s:
            return True
        if self.retry_points:
            return False
        trials = self.trial_store.trials()
        if self.num_wanted is not None and len(trials) >= self.num_wanted:
            return True
        return self.options.max_epochs is not None and sum(map(_num_epochs, trials)) >= self.options.max_epochs

    def is_over(self) -> bool:
        """Return whether all trials are finished and the search asks for no other."""
        return self._exhausted() and all(trial.state.is_finished() for trial in self.trial_store.trials())

    def _ended_by_failure(self) -> bool:
        """Return whether a cell has failed for good and this ends the search."""
        ended = (result for cell in self.attempts if (result := self.load_result(cell)))
        return self.policy.ends_sweep(ended, self.attempts)

    def _failed_for_good(self, result: Result) -> bool:
        return result.status is CellStatus.FAILED and self.policy.is_final(result, self.attempts[result.cell])

    def load_result(self, cell: str) -> Result | None:
        """Return the result of a cell, or None if it has none; a final result is read only once."""
        if cell not in self.over and (result := Result.load(self.folder / cell)) is not None:
            if not result.over:
                return result
            self.over[cell] = result
        return self.over.get(cell)

    def _num_left(self) -> int:
        num_over = sum(bool(trial.state.is_finished()) for trial in self.trial_store.trials()) - len(self.retry_points)
        return max(1, (self.num_wanted or 0) - num_over)

    # --- confirmation -------------------------------------------------------------------------------------------------

    def _confirm(self, launcher: Launcher, interrupt: Interrupt) -> None:
        """Train the default configuration and the best ones with seeds that the search has not used."""
        if not self.options.confirm_seeds or not (best := winners(self.trial_store.trials(), self.options)):
            return
        points: list[tuple[str, Point | None]] = [(DEFAULT, None), *((_label(trial), trial.params) for trial in best)]
        seeds = [(self.config.seed + 1 + number) % 2**32 for number in range(self.options.confirm_seeds)]
        cells = [self.plan.confirmation(point, label, seed) for label, point in points for seed in seeds]
        wanted = list({cell.id: cell for cell in reversed(cells)}.values())[::-1]  # the first of identical cells
        show_confirmation([label for label, _ in points], seeds)
        for cell in wanted:
            self.confirmed[cell.id] = cell.levels["configuration"]
            self._register(cell)
        self.save_record()
        rest = Sweep(wanted, self.folder, self.sweep.journal, self.sweep.store)
        rest.load_status(reuse=self.config.reuse)
        rest.run(launcher.launch, interrupt)
        if interrupt.requested:
            raise KeyboardInterrupt

    # --- saved records ------------------------------------------------------------------------------------------------

    def _cell_of(self, trial: "FrozenTrial") -> Cell:
        """Return the cell of a trial that an earlier process asked for."""
        cell = Cell.load(self.folder / trial.user_attrs[CELL])
        return self.plan.trial(trial.params, _label(trial)) if cell is None else cell

    def _register(self, cell: Cell) -> None:
        """Add the cell to the sweep and to its saved plan."""
        if cell.id in self.cells:
            return
        self.cells[cell.id] = cell
        self.sweep.cells.append(cell)
        saved = self.planned.cells
        position = next((number for number, known in enumerate(saved) if known.id == cell.id), None)
        if position is None:
            saved.append(saved_cell(cell))
        elif CONFIGURATION not in saved[position].levels:  # the default cell, which now has the name of its trial
            saved[position] = saved_cell(cell)

    def save_record(self) -> None:
        """Save the plan and the progress of the search for its report."""
        self.sweep.journal.check()
        self.planned.save(self.folder)
        record = record_of(
            self.plan,
            self.trial_store,
            self.load_result,
            num_wanted=self.num_wanted,
            complete=self.is_over(),
            confirmed=self.confirmed,
        )
        record.save(self.folder)


def _label(trial: "FrozenTrial") -> str:
    return f"trial {trial.number}"


def _num_epochs(trial: "FrozenTrial") -> int:
    num_epochs: int = trial.user_attrs.get(EPOCHS, len(trial.intermediate_values))
    return num_epochs


def _refuse_another(plan: SearchPlan, folder: Path) -> None:
    """Refuse to resume a sweep that is not this search.

    Raises:
        ConfigError: if the sweep is a grid or another search, naming the differences.
    """
    if plan.default.config.resume is None:
        return
    earlier = SearchRecord.load(folder)
    if earlier is None:
        raise ConfigError([f"resume = {folder.name!r}: that sweep is a grid; leave out hydra/sweeper=optuna"])
    told = f"resume = {folder.name!r}: that search has"
    problems = []
    if earlier.space != plan.space.said:
        before = "; ".join(f"{key}: {said}" for key, said in earlier.space.items())
        problems.append(f"{told} another space: {before}")
    if earlier.objectives != list(plan.options.objectives):
        problems.append(f"{told} other objectives: {SWEEPER}.objectives=[{','.join(earlier.objectives)}]")
    if earlier.default != plan.default.id:
        problems.append(f"{told} another default configuration; its command was\n{SavedPlan.load(folder).command}")
    if problems:
        raise ConfigError(problems)


def _require_storage(storage: str | None, folder: Path) -> None:
    """Open the storage once, so that a wrong address is reported before anything else.

    Raises:
        ConfigError: if the storage cannot be opened.
    """
    if storage is None:
        return
    try:
        storage_at(folder, storage)
    except Exception as error:  # from SQLAlchemy, a missing driver, or the database
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ConfigError(
            [f"{SWEEPER}.storage = {storage!r}: cannot be opened ({type(error).__name__}: {reason})"]
        ) from None
