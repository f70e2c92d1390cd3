"""A planned sweep, run: what is missing of it is handed to a launcher, and the whole is summed up, however it ended."""

import shlex
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

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
from image_sweeps.report.write import Report, show_answer, write_report
from image_sweeps.sweep.estimate import estimate
from image_sweeps.sweep.past import existing_store, past_cells
from image_sweeps.sweep.plan import Plan
from image_sweeps.sweep.terminal import show_dry_run, show_plan, show_results, show_standings, show_unfinished
from image_sweeps.system.console import show_error
from image_sweeps.system.files import DiskError, disk_trouble, locked
from image_sweeps.system.interrupt import Interrupt
from image_sweeps.tracking import sweep_run as runs
from image_sweeps.tracking.delivery import StoreUnavailableError, deliver_all
from image_sweeps.tracking.journal import Journal
from image_sweeps.tracking.kept import show_kept
from image_sweeps.tracking.store import Store, checkpoint_wal, open_store_or_refuse
from image_sweeps.tracking.view import show_runs

Launch = Callable[[Sequence[Sequence[str]]], object]
"""What runs the jobs, each given as its list of overrides, and comes back when all of them are over."""

SOME_FAILED = 1


def dry_run(plan: Plan, num_slots: int) -> None:
    """Show what `run_sweep` would do, and how long that may take, and do nothing.

    Raises:
        ConfigError: as `run_sweep` would.
    """
    config = plan.cells[0].config
    folder, _ = plan_to_save(plan, config)
    statuses = {cell.id: load_status(folder / cell.id) for cell in plan.cells}
    steps = {cell: status.next_step for cell, status in statuses.items()}
    elsewhere: Collection[str] = ()
    if config.reuse and (store := existing_store(config)):
        missing = [cell for cell, status in statuses.items() if status is not CellStatus.FINISHED]
        elsewhere = runs.finished(store, missing).keys()
        steps |= dict.fromkeys(elsewhere, "finished in another sweep")
    waiting = [cell for cell in plan.cells if not statuses[cell.id].over and cell.id not in elsewhere]
    num_done = {cell.id: checkpoint.num_done(folder / cell.id / CellFile.LAST) for cell in waiting}
    past = past_cells(config, {cell.fingerprint for cell in plan.cells})
    show_dry_run(plan, steps, estimate(waiting, past, num_slots, num_done))


def run_sweep(plan: Plan, launch: Launch) -> int:
    """Run what is missing of the cells of `plan`. Whatever failed has been shown. Returns the exit code.

    Raises:
        ConfigError: where a sweep is to be resumed that is not there, is running, or rests on what has changed.
        SupersededError: where another process, which could not know of this one, has taken the sweep over.
    """
    config = plan.cells[0].config  # what is read from it is the same for all: it cannot be swept
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
    """Let `work` run cells, record the sweep, and sum it up, however that ended. Returns the exit code.

    Args:
        config: of any cell; what is read from it is the same for all.
        cells: that are to finish; `work` may add to them.
        folder: the sweep's.
        planned: what is written there of the plan.
        work: what runs the cells, and raises KeyboardInterrupt where somebody asked to stop.

    Raises:
        ConfigError: where another process runs the sweep, or its store cannot be opened.
        SupersededError: where another process, which could not know of this one, has taken the sweep over.
    """
    store = open_store_or_refuse(config)
    with exclusive(folder) as claim, Interrupt.on_signals() as interrupt:
        planned.save(folder)
        sweep = Sweep(list(cells), folder, runs.begin(claim, planned, config.tracking), store)
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
            except Exception as error:  # the launcher gave up, as joblib's does when a worker dies
                show_error(_explain(error, folder))
            sweep.close(interrupted=status is CellStatus.INTERRUPTED)
            written = _summed_up(sweep)
        finally:
            with suppress(DiskError):  # which has been told; the run ends when the sweep is resumed
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
    """The cells that are asked for, and what has become of them.

    Attributes:
        cells: in the order of the plan; a search finds them on the way.
        folder: the sweep's own; each cell has one in it, named by its id.
        journal: of its own run.
        store: where it is recorded, or None where its records stay in the folder for now.
    """

    cells: list[Cell]
    folder: Path
    journal: Journal
    store: Store | None

    @property
    def results(self) -> list[Result]:
        """The outcomes that there are."""
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
        """How many cells were not run, or interrupted."""
        return len(self.cells) - self.num_failed - sum(result.over for result in self.results)

    def load_status(self, *, reuse: bool) -> None:
        """Look what is there of the cells, and say so; with `reuse` also in all other sweeps."""
        statuses = [load_status(self.folder / cell.id) for cell in self.cells]
        missing = [c.id for c, s in zip(self.cells, statuses, strict=True) if s is not CellStatus.FINISHED]
        taken = runs.finished(self.store, missing) if self.store and reuse and missing else {}
        for cell in self.cells:
            if run := taken.get(cell.id):
                runs.result_of(run, cell.name).save(self.folder / cell.id)
        show_standings(format_counts(load_status(self.folder / cell.id) for cell in self.cells), len(taken))

    def run(self, launch: Launch, interrupt: Interrupt) -> None:
        """Launch what has not finished, and what failed again, as often as `retries` says.

        Raises:
            KeyboardInterrupt: where the user, or the machine, asked to stop.
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
        """The cells without an outcome, and those that failed and have an attempt left."""
        outcomes = {result.cell: result for result in self.results}
        return [
            cell
            for cell in self.cells
            if (outcome := outcomes.get(cell.id)) is None or policy.may_retry(outcome, attempts[cell.id])
        ]

    def jobs(self, waiting: Sequence[Cell]) -> list[list[str]]:
        """The jobs of these cells, each saved in its folder."""
        positions = {cell.id: position for position, cell in enumerate(self.cells, start=1)}
        jobs = []
        for cell in waiting:
            place = SweepContext(self.folder.name, positions[cell.id], len(self.cells))
            Result.remove(self.folder / cell.id)
            replace(cell, sweep=place).save(self.folder / cell.id)
            jobs.append([*cell.overrides, *folder_overrides(self.folder, cell.id)])
        return jobs

    def close(self, *, interrupted: bool) -> None:
        """End the runs of cells whose processes are gone without a word, so that none stays RUNNING."""
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
        """Bring to the store what is not there yet. Returns whether the store is there to take it."""
        if self.store is None:
            return False
        try:
            deliver_all(self.folder, self.store)
        except StoreUnavailableError:
            return False
        checkpoint_wal(self.store)
        return True


def _summed_up(sweep: Sweep) -> Report | None:
    """The report, written and kept with the sweep's run. Whatever hinders it, what the sweep has found stays found."""
    from image_sweeps.report.publish import publish

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
    """What the disk has to do with it, or else the traceback."""
    trouble = disk_trouble(error, folder)
    return str(trouble) if trouble else "".join(traceback.format_exception(error)).rstrip()


def plan_to_save(plan: Plan, config: Config) -> tuple[Path, SavedPlan]:
    """The sweep's folder, and what is to be written there of the plan; of a new sweep, or the one that it resumes.

    Raises:
        ConfigError: where a sweep is to be resumed that is not there, or rests on what has changed.
    """
    if config.resume is None:
        planned = SavedPlan.of(plan.cells, plan.factors, unique_id(), typed())
        return saved_plan.folder_of(config.outputs_dir) / planned.sweep, planned
    sweep_id = saved_plan.find(config.outputs_dir, config.resume)
    folder = saved_plan.folder_of(config.outputs_dir) / sweep_id
    now = SavedPlan.of(plan.cells, plan.factors, sweep_id, typed())
    return folder, _resumed(SavedPlan.load(folder), now, anyway=config.resume_anyway)


def _resumed(earlier: SavedPlan, now: SavedPlan, *, anyway: bool) -> SavedPlan:
    """The sweep with what is asked for now, where nothing that results rest on has changed, or that is all right."""
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
    """Nobody else runs the sweep of `folder` as long as the block; or, where it has no locks, as the claim holds."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / SweepFile.LOCK, timeout_s=0))
        except Timeout:
            raise ConfigError([f"resume = {folder.name!r}: another process is running this sweep"]) from None
        yield Claim.acquire(folder)


def folder_overrides(folder: Path, cell_id: str) -> list[str]:
    """What tells Hydra where a cell's job lives. Unquoted, an id such as 1020079e5857 would be read as a number."""
    return [f"hydra.sweep.dir={_quoted(str(folder))}", f"hydra.sweep.subdir={_quoted(cell_id)}"]


def _quoted(text: str) -> str:
    """A string of Hydra's override grammar."""
    return str(QuotedString(text, Quote.single).with_quotes())
