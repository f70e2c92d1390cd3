"""Cells on other machines: a scheduler runs them, and this process reads their progress from their folders.

The cell folders, which all machines share, are the only connection between the two. A cell saves its result there, as
it does on this machine, and its journal contains its epochs. This process may therefore die, and another one may take
its place, while the cells continue.
"""

import os
import select
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

from image_sweeps.cell.cell import Cell
from image_sweeps.cell.claim import Claim
from image_sweeps.cell.failure_policy import FailurePolicy
from image_sweeps.cell.folders import CellFile
from image_sweeps.cell.listener import CellListener
from image_sweeps.cell.result import Result
from image_sweeps.cell.status import CellStatus
from image_sweeps.fit.epoch import METRICS, Epoch
from image_sweeps.launch.finalize import finalize_dead_cell, last_lines, size
from image_sweeps.launch.worker import HydraJob
from image_sweeps.system.interrupt import Interrupt, wakeup_fd
from image_sweeps.tracking.journal import Entry, Journal

POLL_S = 1.0
"""The minimum pause in seconds between two polls; a poll of many cells on a slow file system has a longer pause."""

MAX_SHARE = 0.1
"""The maximum fraction of the time that is spent on polling."""

LATENCY_S = 30.0
"""The seconds after the end of a cell's process in which its result may still appear: a shared file system may cache
the state of a folder for this time, although another machine has written to it (`acdirmin` of nfs(5))."""


@dataclass(frozen=True)
class Waiting:
    """The state of a cell that waits in the scheduler's queue, for the first time or again."""


@dataclass(frozen=True)
class Running:
    """The state of a cell that has a process on the machine called `where`."""

    where: str


@dataclass(frozen=True)
class Over:
    """The state of a cell that the scheduler no longer queues or runs; `reason` explains a missing result."""

    reason: str


State = Waiting | Running | Over


class Engine(Protocol):
    """A scheduler of jobs, such as SLURM or Ray."""

    @property
    def num_slots(self) -> int | None:
        """The number of a search's cells to submit at a time; None if unknown. A grid is submitted as a whole."""

    def start(self, folders: Sequence[Path]) -> None:
        """Submit these cells, which are saved in their folders. A cell that an earlier process has submitted and that
        is not over is not submitted again.
        """

    def state(self, folder: Path) -> State:
        """Return the state of a submitted cell."""

    def stop(self, folder: Path) -> None:
        """Ask the cell to stop after its epoch; if it waits, withdraw it from the queue."""

    def kill(self, folder: Path) -> None:
        """Kill the cell immediately."""

    def close(self) -> None:
        """Finish after the last cell: no more cells are submitted, and pending requests to stop are carried out."""


@dataclass(eq=False)
class SubmittedCell:
    """A cell that was submitted to the scheduler.

    Attributes:
        cell: the cell as it was saved.
        folder: the folder of the cell.
        output_start: the offset in bytes where the output of this attempt begins in the output file.
        journal_offset: the offset in bytes up to which its journal has been read.
        num_done: the number of the last epoch that has been read from its journal.
        where: the machine that last ran the cell; None before the first one.
        over_since: the time on the monotonic clock when the cell was found to be over without a result, else None.
    """

    cell: Cell
    folder: Path
    output_start: int
    journal_offset: int = 0
    num_done: int = 0
    where: str | None = None
    over_since: float | None = field(default=None)

    def epochs(self) -> Iterator[Epoch]:
        """Yield the epochs that have been recorded since the last call."""
        journal = Journal(self.folder)
        if journal.size <= self.journal_offset:
            return
        for entry, self.journal_offset in journal.lines(self.journal_offset):  # noqa: B020, it is where the next one begins
            for epoch in epochs_of(entry):
                if epoch.number > self.num_done:
                    self.num_done = epoch.number
                    yield epoch


def epochs_of(entry: Entry) -> Iterator[Epoch]:
    """Yield the epochs that an entry of a journal records."""
    metrics: dict[tuple[int, int], dict[str, float]] = {}
    for key, value, ended_ms, step in entry.get("metrics", ()):
        metrics.setdefault((step, ended_ms), {})[key] = value
    for (number, ended_ms), measured in metrics.items():
        if measured.keys() >= set(METRICS.values()):  # other metrics describe the cell as a whole
            yield Epoch.from_metrics(number, ended_ms, measured)


class Remote:
    """A runner of cells on the machines of a scheduler.

    Args:
        engine: the scheduler.
        hydra_job: a function that returns Hydra's job settings for the cell in a folder.
        listener: the listener that is notified of the progress of the cells.
        poll_s: the minimum pause between two polls, in seconds.
        latency_s: the maximum delay of a result on the shared file system, in seconds.
    """

    def __init__(
        self,
        engine: Engine,
        hydra_job: Callable[[Path], HydraJob],
        listener: CellListener,
        poll_s: float = POLL_S,
        latency_s: float = LATENCY_S,
    ) -> None:
        self.engine, self.hydra_job, self.listener = engine, hydra_job, listener
        self.poll_s, self.latency_s = poll_s, latency_s
        self.submitted: list[SubmittedCell] = []
        self.results: list[Result] = []
        self.ending = False
        self.stopping = False
        self.claim: Claim | None = None

    def run(self, folders: Iterable[Path]) -> list[Result]:
        """Run the cells saved in `folders` and return their results in the order in which the cells end.

        A sequence, as of a grid, is submitted as a whole. From another iterable, as of a search, the next cell is
        requested when a slot is free.

        Raises:
            KeyboardInterrupt: if the user or the machine requested a stop; raised after all cells have ended.
            SupersededError: if another process has taken over the sweep.
        """
        at_a_time = None if isinstance(folders, Sequence) else self.engine.num_slots
        waiting = iter(folders)
        with Interrupt.on_signals() as interrupt, wakeup_fd() as woken:
            try:
                while not interrupt.requested:
                    self._submit_more(waiting, at_a_time)
                    if not self.submitted:
                        return self.results
                    self._poll(woken)
                self._ask_to_stop(interrupt)
                while self.submitted:
                    self._poll(woken)
            except KeyboardInterrupt:
                self._stop_at_once()
            finally:
                self.engine.close()
        raise KeyboardInterrupt

    def _submit_more(self, waiting: Iterator[Path], at_a_time: int | None) -> None:
        if self.ending:
            return
        room = None if at_a_time is None else at_a_time - len(self.submitted)
        new = [job for folder in islice(waiting, room) if (job := self._prepare(folder))]
        self.submitted += new
        if new:
            self.engine.start([job.folder for job in new])

    def _prepare(self, folder: Path) -> SubmittedCell | None:
        """Return the cell, ready to be submitted, or None if it has finished in the meantime."""
        cell = Cell.load(folder)
        assert cell is not None
        self.claim = self.claim or Claim.current(folder.parent)
        if (result := Result.load(folder)) is not None and result.finished:
            self._record(cell, result)
            return None
        Result.remove(folder)
        self.hydra_job(folder).save(folder)
        job = SubmittedCell(cell, folder, size(folder / CellFile.OUTPUT))
        for _ in job.epochs():  # skips the epochs of earlier attempts
            pass
        return job

    def _poll(self, woken: int) -> None:
        """Check all cells, then pause until the next poll is due or a signal arrives."""
        begun = time.monotonic()
        for job in list(self.submitted):
            self._poll_cell(job)
        pause_s = max(self.poll_s, (time.monotonic() - begun) / MAX_SHARE)
        if self.submitted and woken in select.select([woken], [], [], pause_s)[0]:
            os.read(woken, 1024)

    def _poll_cell(self, job: SubmittedCell) -> None:
        state = self.engine.state(job.folder)  # read first: a cell saves its result before it is over
        self._show(job, state)
        result = Result.load(job.folder)
        put_back = result and result.status is CellStatus.INTERRUPTED and not isinstance(state, Over)
        if result is not None and not put_back:
            self._conclude(job, self._final_result(job, result, state))
        elif not isinstance(state, Over):
            job.over_since = None
        elif job.over_since is None:
            job.over_since = time.monotonic()
        elif time.monotonic() - job.over_since >= self.latency_s:
            self._finalize(job, CellStatus.FAILED, state.reason)

    def _show(self, job: SubmittedCell, state: State) -> None:
        where = state.where if isinstance(state, Running) else None
        if where is not None and where != job.where:
            self.listener.on_process_start(job.cell, where)
            self.listener.on_train_start(job.cell, job.num_done)
        job.where = where or job.where
        for epoch in job.epochs():
            if job.where is not None:
                self.listener.on_epoch_end(job.cell, epoch)

    def _final_result(self, job: SubmittedCell, result: Result, state: State) -> Result:
        """Return the result. An interrupted cell has failed if no stop was requested here and it is not requeued."""
        if result.status is not CellStatus.INTERRUPTED or not isinstance(state, Over) or self.stopping:
            return result
        failed = replace(result, status=CellStatus.FAILED, reason=f"{state.reason}; {result.reason}")
        failed.save(job.folder)
        return failed

    def _conclude(self, job: SubmittedCell, result: Result) -> None:
        if result.status is CellStatus.FAILED and result.reason:
            self.listener.on_failure(job.cell, f"{result.reason}\n(see {job.folder / CellFile.OUTPUT})")
        self.submitted.remove(job)
        self._record(job.cell, result)

    def _finalize(self, job: SubmittedCell, status: CellStatus, reason: str) -> None:
        """Save and report the result of a cell that is over without a result of its own."""
        result = finalize_dead_cell(job.cell, job.folder, status, reason, self.claim)
        if result.status is CellStatus.FAILED:
            lines = last_lines(job.folder / CellFile.OUTPUT, job.output_start)
            self.listener.on_failure(job.cell, f"{result.reason}\n{lines}".strip())
        self.submitted.remove(job)
        self._record(job.cell, result)

    def _record(self, cell: Cell, result: Result) -> None:
        self.listener.on_cell_end(result)
        self.results.append(result)
        if not self.ending and FailurePolicy.of(cell.config).ends_launch([result]):
            self.ending = True
            self._withdraw_waiting()

    def _withdraw_waiting(self) -> None:
        """Withdraw all waiting cells from the queue, so that no other cell starts."""
        for job in list(self.submitted):
            if isinstance(self.engine.state(job.folder), Waiting):
                self.engine.stop(job.folder)
                self.submitted.remove(job)

    def _ask_to_stop(self, interrupt: Interrupt) -> None:
        """Ask every running cell to stop after its epoch, and withdraw the waiting cells."""
        assert interrupt.signal is not None
        self.stopping = True
        self._withdraw_waiting()
        if self.submitted:
            name = interrupt.signal.name
            self.listener.on_notice(
                f"{name}: the running cells finish their epoch and are kept; another {name} stops them at once"
            )
        for job in self.submitted:
            self.engine.stop(job.folder)

    def _stop_at_once(self) -> None:
        for job in self.submitted:
            self.engine.kill(job.folder)
        for job in list(self.submitted):
            self._finalize(job, CellStatus.INTERRUPTED, "interrupted at once")
