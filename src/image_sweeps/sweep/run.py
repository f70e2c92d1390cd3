"""The run of a planned sweep: a launcher runs the missing cells, and the sweep is summed up, however it ended."""

import shlex
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import Timeout
from hydra.core.override_parser.types import Quote, QuotedString

from image_sweeps.cell import saved_plan
from image_sweeps.cell.cell import Cell, SweepContext
from image_sweeps.cell.claim import Claim, SupersededError
from image_sweeps.cell.failure_policy import FailurePolicy
from image_sweeps.cell.folders import CellFile, SweepFile
from image_sweeps.cell.result import Result, load_status
from image_sweeps.cell.saved_plan import SavedPlan
from image_sweeps.cell.status import CellStatus, format_counts
from image_sweeps.config.composition import unique_id
from image_sweeps.config.invocation import program, typed
from image_sweeps.config.problems import ConfigError
from image_sweeps.config.schema import Config
from image_sweeps.fit import checkpoint
from image_sweeps.report.terminal import show_answer
from image_sweeps.sweep.estimate import estimate_time
from image_sweeps.sweep.past import existing_store, past_cells
from image_sweeps.sweep.plan import Plan
from image_sweeps.sweep.terminal import show_dry_run, show_plan, show_results, show_statuses, show_unfinished
from image_sweeps.system.console import show_error
from image_sweeps.system.files import DiskError, disk_trouble, locked
from image_sweeps.system.interrupt import Interrupt
from image_sweeps.tracking import sweep_run
from image_sweeps.tracking.delivery import StoreUnavailableError, deliver_all
from image_sweeps.tracking.journal import Journal
from image_sweeps.tracking.pending import show_kept
from image_sweeps.tracking.store import Store, checkpoint_wal, open_store_or_refuse
from image_sweeps.tracking.view import show_runs

if TYPE_CHECKING:
    from image_sweeps.report.write import Report

Launch = Callable[[Sequence[Sequence[str]]], object]
"""A function that runs jobs, each given as its list of overrides, and returns when all of them are over."""

SOME_FAILED = 1


def dry_run(plan: Plan, num_slots: int) -> None:
    """Show what `run_sweep` would do and how long that may take, without doing it.

    Raises:
        ConfigError: if the sweep to resume does not exist, or depends on something that has changed.
    """
    config = plan.cells[0].config
    folder, _ = plan_to_save(plan, config)
    statuses = {cell.id: load_status(folder / cell.id) for cell in plan.cells}
    steps = {cell: status.next_step for cell, status in statuses.items()}
    elsewhere: Collection[str] = ()
    if config.reuse and (store := existing_store(config)):
        missing = [cell for cell, status in statuses.items() if status is not CellStatus.FINISHED]
        elsewhere = sweep_run.finished(store, missing).keys()
        steps |= dict.fromkeys(elsewhere, "finished in another sweep")
    waiting = [cell for cell in plan.cells if not statuses[cell.id].over and cell.id not in elsewhere]
    num_done = {cell.id: checkpoint.num_done(folder / cell.id / CellFile.LAST) for cell in waiting}
    past = past_cells(config, {cell.fingerprint for cell in plan.cells})
    show_dry_run(plan, steps, estimate_time(waiting, past, num_slots, num_done))


def run_sweep(plan: Plan, launch: Launch) -> int:
    """Run the missing cells of `plan`, show all failures, and return the exit code.

    Raises:
        ConfigError: if the sweep to resume does not exist, is running, or depends on something that has changed, or if
            the store cannot be opened.
        SupersededError: if another process, which could not know of this one, has taken over the sweep.
    """
    config = plan.cells[0].config  # only keys that cannot be swept are read from it
    folder, planned = plan_to_save(plan, config)
    show_plan(planned.sweep, plan)

    def work(sweep: Sweep, interrupt: Interrupt) -> None:
        sweep.load_status(reuse=config.reuse)
        sweep.run(launch, interrupt)

    return run_and_report(config, plan.cells, folder, planned, work)


def run_and_report(
    config: Config,
    cells: Sequence[Cell],
    folder: Path,
    planned: SavedPlan,
    work: Callable[["Sweep", Interrupt], object],
) -> int:
    """Let `work` run cells, record the sweep, sum it up however it ended, and return the exit code.

    Args:
        config: the configuration of any cell; only keys that are the same for all cells are read from it.
        cells: the cells that are to finish; `work` may add others to the sweep.
        folder: the folder of the sweep.
        planned: the plan to save in the folder.
        work: runs the cells, and raises KeyboardInterrupt if somebody asked to stop.

    Raises:
        ConfigError: if another process runs the sweep, or the store cannot be opened.
        SupersededError: if another process, which could not know of this one, has taken over the sweep.
    """
    store = open_store_or_refuse(config)
    with exclusive(folder) as claim, Interrupt.on_signals() as interrupt:
        planned.save(folder)
        sweep = Sweep(list(cells), folder, sweep_run.begin(claim, planned, config.tracking), store)
        sweep.deliver()
        status = CellStatus.FAILED
        try:
            try:
                work(sweep, interrupt)
                status = CellStatus.FINISHED if sweep.all_over else CellStatus.FAILED
            except KeyboardInterrupt:
                status = CellStatus.INTERRUPTED
            except SupersededError:
                raise
            except Exception as error:  # the launcher gave up, as the joblib launcher does when a worker dies
                show_error(_explain(error, folder))
            sweep.close(interrupted=status is CellStatus.INTERRUPTED)
            written = _summed_up(sweep)
        finally:
            with suppress(DiskError):  # already shown; the run is ended when the sweep is resumed
                sweep.journal.end(status)
            sweep.deliver()
    show_results(sweep.results)
    show_unfinished(sweep.num_missing, sweep.num_failed, planned.sweep)
    if written is not None:
        show_answer(written.summary.answer, written.page)
    if not show_kept(folder, config):
        show_runs(config, planned.sweep)
    if status is CellStatus.INTERRUPTED:
        return interrupt.exit_code
    return 0 if status is CellStatus.FINISHED else SOME_FAILED


@dataclass(frozen=True)
class Sweep:
    """The cells of a sweep, and their results.

    Attributes:
        cells: the cells in the order of the plan; a search adds its cells while it runs.
        folder: the folder of the sweep, in which each cell has a folder named by its id.
        journal: the journal of the sweep's own run.
        store: the store that the sweep is recorded in, or None if its records stay in the folder for now.
    """

    cells: list[Cell]
    folder: Path
    journal: Journal
    store: Store | None

    @property
    def results(self) -> list[Result]:
        """The results of the cells that have one."""
        found = (Result.load(self.folder / cell.id) for cell in self.cells)
        return [result for result in found if result is not None]

    @property
    def all_over(self) -> bool:
        return sum(result.over for result in self.results) == len(self.cells)

    @property
    def num_failed(self) -> int:
        return sum(result.status is CellStatus.FAILED for result in self.results)

    @property
    def num_missing(self) -> int:
        """The number of cells that were not run or were interrupted."""
        return len(self.cells) - self.num_failed - sum(result.over for result in self.results)

    def load_status(self, *, reuse: bool) -> None:
        """Find and show the status of the cells; with `reuse`, adopt results of cells that other sweeps finished."""
        statuses = [load_status(self.folder / cell.id) for cell in self.cells]
        missing = [c.id for c, s in zip(self.cells, statuses, strict=True) if s is not CellStatus.FINISHED]
        taken = sweep_run.finished(self.store, missing) if self.store and reuse and missing else {}
        for cell in self.cells:
            if run := taken.get(cell.id):
                sweep_run.result_from_run(run, cell.name).save(self.folder / cell.id)
        show_statuses(format_counts(load_status(self.folder / cell.id) for cell in self.cells), len(taken))

    def run(self, launch: Launch, interrupt: Interrupt) -> None:
        """Launch the unfinished cells, and the failed ones again as often as `retries` allows.

        Raises:
            KeyboardInterrupt: if the user or the machine asked to stop.
        """
        policy = FailurePolicy.of(self.cells[0].config)
        attempts: Counter[str] = Counter()
        while waiting := self._waiting(policy, attempts):
            if interrupt.requested:
                raise KeyboardInterrupt
            launch(self.jobs(waiting))
            ended = [cell.id for cell in waiting if Result.load(self.folder / cell.id) is not None]
            attempts.update(ended)
            if not ended or policy.ends_sweep(self.results, attempts):
                return

    def _waiting(self, policy: FailurePolicy, attempts: Counter[str]) -> list[Cell]:
        """Return the cells that have no result yet and the failed cells that may be retried."""
        outcomes = {result.cell: result for result in self.results}
        return [
            cell
            for cell in self.cells
            if (outcome := outcomes.get(cell.id)) is None or policy.may_retry(outcome, attempts[cell.id])
        ]

    def jobs(self, waiting: Sequence[Cell]) -> list[list[str]]:
        """Save these cells in their folders, and return their jobs."""
        positions = {cell.id: position for position, cell in enumerate(self.cells, start=1)}
        jobs = []
        for cell in waiting:
            place = SweepContext(self.folder.name, positions[cell.id], len(self.cells))
            Result.remove(self.folder / cell.id)
            replace(cell, sweep=place).save(self.folder / cell.id)
            jobs.append([*cell.overrides, *folder_overrides(self.folder, cell.id)])
        return jobs

    def close(self, *, interrupted: bool) -> None:
        """End the runs of cells whose processes are gone without ending them, so that no run stays RUNNING."""
        status, reason = CellStatus.FAILED, "its process ended without leaving a result"
        if interrupted:
            status, reason = CellStatus.INTERRUPTED, "interrupted at once"
        for cell in self.cells:
            journal = Journal(self.folder / cell.id)
            if not journal.open:
                continue
            with suppress(DiskError):
                journal.end(status, reason)
            if Result.load(self.folder / cell.id) is None:
                Result(cell.id, cell.name, status, reason, journal.progress.run_id).save(self.folder / cell.id)

    def deliver(self) -> bool:
        """Deliver the missing records to the store, and return whether the store is available."""
        if self.store is None:
            return False
        try:
            deliver_all(self.folder, self.store)
        except StoreUnavailableError:
            return False
        checkpoint_wal(self.store)
        return True


def _summed_up(sweep: Sweep) -> "Report | None":
    """Write the report and keep it with the sweep's run; on an error return None: the results of the sweep remain."""
    from image_sweeps.report.publish import publish  # imports matplotlib: a second in which cells can begin
    from image_sweeps.report.write import write_report

    try:
        written = write_report(sweep.folder, sweep.store if sweep.deliver() else None)
        publish(sweep.journal, written)
    except Exception as error:
        again = shlex.join(
            [*program("report"), f"sweep={sweep.folder.name}", f"outputs_dir={sweep.folder.parent.parent}"]
        )
        why = _explain(error, sweep.folder)
        show_error(f"{why}\nThe report could not be written; to try again: {again}")
        return None
    return written


def _explain(error: Exception, folder: Path) -> str:
    """Return the disk problem behind an error or, if there is none, the traceback."""
    trouble = disk_trouble(error, folder)
    return str(trouble) if trouble else "".join(traceback.format_exception(error)).rstrip()


def plan_to_save(plan: Plan, config: Config) -> tuple[Path, SavedPlan]:
    """Return the folder of the sweep, new or resumed, and the plan to save in it.

    Raises:
        ConfigError: if the sweep to resume does not exist, has none of the cells, or depends on something that has
            changed.
    """
    if config.resume is None:
        planned = SavedPlan.of(plan.cells, plan.factors, unique_id(), typed())
        return saved_plan.sweeps_dir(config.outputs_dir) / planned.sweep, planned
    sweep_id = saved_plan.find(config.outputs_dir, config.resume)
    folder = saved_plan.sweeps_dir(config.outputs_dir) / sweep_id
    now = SavedPlan.of(plan.cells, plan.factors, sweep_id, typed())
    return folder, _resumed(SavedPlan.load(folder), now, anyway=config.resume_anyway)


def _resumed(earlier: SavedPlan, now: SavedPlan, *, anyway: bool) -> SavedPlan:
    """Return `earlier` with the cells of `now`; unless `anyway`, refuse if something that results depend on changed."""
    changes = earlier.changes(now)
    if changes and not anyway:
        what = "\n".join(f"- {change}" for change in changes)
        raise ConfigError(
            [
                f"resume = {now.sweep!r}: its cells rest on what has changed since; resume_anyway=true goes on all the "
                f"same, and a sweep without resume=... begins anew\n{what}"
            ]
        )
    if not anyway and not {cell.id for cell in earlier.cells} & {cell.id for cell in now.cells}:
        raise ConfigError(
            [f"resume = {now.sweep!r}: that sweep has none of these cells; its command was\n{earlier.command}"]
        )
    return earlier.resumed_as(now)


@contextmanager
def exclusive(folder: Path) -> Iterator[Claim]:
    """Yield a claim on the sweep in `folder`, locked for the block; without file locks, the claim alone protects it."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / SweepFile.LOCK, timeout_s=0))
        except Timeout:
            raise ConfigError([f"resume = {folder.name!r}: another process is running this sweep"]) from None
        yield Claim.acquire(folder)


def folder_overrides(folder: Path, cell_id: str) -> list[str]:
    """Return the overrides for the folder of a cell's job. Unquoted, an id such as 1020079e5857 would be a number."""
    return [f"hydra.sweep.dir={_quoted(str(folder))}", f"hydra.sweep.subdir={_quoted(cell_id)}"]


def _quoted(text: str) -> str:
    """Return `text` as a quoted string of Hydra's override grammar."""
    return str(QuotedString(text, Quote.single).with_quotes())
