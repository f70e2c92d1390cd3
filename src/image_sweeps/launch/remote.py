"""Cells on other machines: a scheduler runs them, and this process looks at what they leave in their folders.

Nothing but the folders of the cells, which all machines share, stands between the two: a cell leaves its result there
as it does on this machine, and its journal tells of its epochs. So this process may die, and another may take its
place, while the cells go on.
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
from image_sweeps.system.interrupt import Interrupt, waking
from image_sweeps.tracking.journal import Entry, Journal

POLL_S = 1.0
"""How often is looked, at least; a look at many cells on a slow file system is followed by a longer pause."""

MAX_SHARE = 0.1
"""Of the time that may be spent on looking."""

LATENCY_S = 30.0
"""How long after a cell's process has ended its result may still come to light: so long may a shared file system
believe that it knows a folder (`acdirmin` of nfs(5)), and another machine has written to it."""


@dataclass(frozen=True)
class Waiting:
    """The cell is in the scheduler's queue, perhaps not for the first time."""


@dataclass(frozen=True)
class Running:
    """The cell has a process on the machine called `where`."""

    where: str


@dataclass(frozen=True)
class Over:
    """The scheduler has done with the cell; `reason` says why there is no result, if there is none."""

    reason: str


State = Waiting | Running | Over


class Engine(Protocol):
    """A scheduler of jobs: SLURM, Ray."""

    @property
    def num_slots(self) -> int | None:
        """How many cells of a search it is handed at a time; None where it does not say. A grid it gets whole."""

    def start(self, folders: Sequence[Path]) -> None:
        """Take these cells, which are saved in their folders. One that an earlier process has handed over, and that is
        not over, is not started again.
        """

    def state(self, folder: Path) -> State:
        """What has become of a cell that was handed over."""

    def stop(self, folder: Path) -> None:
        """Let the cell finish its epoch; one that waits is taken back."""

    def kill(self, folder: Path) -> None:
        """End the cell at once."""

    def close(self) -> None:
        """No more cells will be handed over, and all that were are over."""


@dataclass(eq=False)
class SubmittedCell:
    """A cell that the scheduler has.

    Attributes:
        cell: as it was saved.
        folder: the cell's own.
        output_start: where its part of the output file begins, in bytes.
        journal_offset: up to where its journal has been read, in bytes.
        num_done: the last epoch that its journal tells of.
        where: the machine that has it, as far as has been told.
        over_since: when it was found to be over without a result, on the monotonic clock.
    """

    cell: Cell
    folder: Path
    output_start: int
    journal_offset: int = 0
    num_done: int = 0
    where: str | None = None
    over_since: float | None = field(default=None)

    def epochs(self) -> Iterator[Epoch]:
        """The epochs that have been recorded since the last look."""
        journal = Journal(self.folder)
        if journal.size <= self.journal_offset:
            return
        for entry, self.journal_offset in journal.lines(self.journal_offset):  # noqa: B020, it is where the next one begins
            for epoch in epochs_of(entry):
                if epoch.number > self.num_done:
                    self.num_done = epoch.number
                    yield epoch


def epochs_of(entry: Entry) -> Iterator[Epoch]:
    """The epochs that an entry of a journal tells of."""
    metrics: dict[tuple[int, int], dict[str, float]] = {}
    for key, value, ended_ms, step in entry.get("metrics", ()):
        metrics.setdefault((step, ended_ms), {})[key] = value
    for (number, ended_ms), measured in metrics.items():
        if measured.keys() >= set(METRICS.values()):  # else they are of the cell as a whole
            yield Epoch.from_metrics(number, ended_ms, measured)


class Remote:
    """Runs cells on the machines of a scheduler.

    Args:
        engine: the scheduler.
        hydra_job: what Hydra's configuration says of the job of a cell, by its folder.
        listener: is told how the cells get on.
        poll_s: how often is looked, in seconds.
        latency_s: how long a result may be on its way, in seconds.
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
        self.there: list[SubmittedCell] = []
        self.results: list[Result] = []
        self.ending = False
        self.stopping = False
        self.claim: Claim | None = None

    def run(self, folders: Iterable[Path]) -> list[Result]:
        """Run the cells that are saved in `folders`. Returns their outcomes, in the order in which they came.

        A sequence, as of a grid, is handed over whole. Of others, as of a search, the next one is asked for when there
        is room for it.

        Raises:
            KeyboardInterrupt: where the user, or the machine, asked to stop, once and for all it is over.
            SupersededError: where another process has taken the sweep over.
        """
        at_a_time = None if isinstance(folders, Sequence) else self.engine.num_slots
        waiting = iter(folders)
        with Interrupt.on_signals() as interrupt, waking() as woken:
            try:
                while not interrupt.requested:
                    self._hand_over(waiting, at_a_time)
                    if not self.there:
                        return self.results
                    self._look(woken)
                self._ask_to_stop(interrupt)
                while self.there:
                    self._look(woken)
            except KeyboardInterrupt:
                self._stop_at_once()
            finally:
                self.engine.close()
        raise KeyboardInterrupt

    def _hand_over(self, waiting: Iterator[Path], at_a_time: int | None) -> None:
        if self.ending:
            return
        room = None if at_a_time is None else at_a_time - len(self.there)
        new = [handed for folder in islice(waiting, room) if (handed := self._prepared(folder))]
        self.there += new
        if new:
            self.engine.start([handed.folder for handed in new])

    def _prepared(self, folder: Path) -> SubmittedCell | None:
        """The cell, ready to be handed over; None where it has finished since that was looked at."""
        cell = Cell.load(folder)
        assert cell is not None
        self.claim = self.claim or Claim.current(folder.parent)
        if (result := Result.load(folder)) is not None and result.finished:
            self._note(cell, result)
            return None
        Result.remove(folder)
        self.hydra_job(folder).save(folder)
        handed = SubmittedCell(cell, folder, size(folder / CellFile.OUTPUT))
        for _ in handed.epochs():  # those of earlier attempts
            pass
        return handed

    def _look(self, woken: int) -> None:
        """See what has become of the cells, and pause, or until a signal comes."""
        begun = time.monotonic()
        for handed in list(self.there):
            self._look_at(handed)
        pause_s = max(self.poll_s, (time.monotonic() - begun) / MAX_SHARE)
        if self.there and woken in select.select([woken], [], [], pause_s)[0]:
            os.read(woken, 1024)

    def _look_at(self, handed: SubmittedCell) -> None:
        state = self.engine.state(handed.folder)  # first: what it leaves in its folder it does before it is over
        self._show(handed, state)
        result = Result.load(handed.folder)
        put_back = result and result.status is CellStatus.INTERRUPTED and not isinstance(state, Over)
        if result is not None and not put_back:
            self._conclude(handed, self._judged(handed, result, state))
        elif not isinstance(state, Over):
            handed.over_since = None
        elif handed.over_since is None:
            handed.over_since = time.monotonic()
        elif time.monotonic() - handed.over_since >= self.latency_s:
            self._finalize(handed, CellStatus.FAILED, state.reason)

    def _show(self, handed: SubmittedCell, state: State) -> None:
        where = state.where if isinstance(state, Running) else None
        if where is not None and where != handed.where:
            self.listener.on_process_start(handed.cell, where)
            self.listener.on_train_start(handed.cell, handed.num_done)
        handed.where = where or handed.where
        for epoch in handed.epochs():
            if handed.where is not None:
                self.listener.on_epoch_end(handed.cell, epoch)

    def _judged(self, handed: SubmittedCell, result: Result, state: State) -> Result:
        """The outcome. A cell that was interrupted, by nobody here, and is not put back, has failed."""
        if result.status is not CellStatus.INTERRUPTED or not isinstance(state, Over) or self.stopping:
            return result
        failed = replace(result, status=CellStatus.FAILED, reason=f"{state.reason}; {result.reason}")
        failed.save(handed.folder)
        return failed

    def _conclude(self, handed: SubmittedCell, result: Result) -> None:
        if result.status is CellStatus.FAILED and result.reason:
            self.listener.on_failure(handed.cell, f"{result.reason}\n(see {handed.folder / CellFile.OUTPUT})")
        self.there.remove(handed)
        self._note(handed.cell, result)

    def _finalize(self, handed: SubmittedCell, status: CellStatus, reason: str) -> None:
        """The scheduler has done with the cell, and it has left no result."""
        result = finalize_dead_cell(handed.cell, handed.folder, status, reason, self.claim)
        if result.status is CellStatus.FAILED:
            lines = last_lines(handed.folder / CellFile.OUTPUT, handed.output_start)
            self.listener.on_failure(handed.cell, f"{result.reason}\n{lines}".strip())
        self.there.remove(handed)
        self._note(handed.cell, result)

    def _note(self, cell: Cell, result: Result) -> None:
        self.listener.on_cell_end(result)
        self.results.append(result)
        if not self.ending and FailurePolicy.of(cell.config).ends_launch([result]):
            self.ending = True
            self._take_back()

    def _take_back(self) -> None:
        """Start no others: those that wait are taken out of the queue."""
        for handed in list(self.there):
            if isinstance(self.engine.state(handed.folder), Waiting):
                self.engine.stop(handed.folder)
                self.there.remove(handed)

    def _ask_to_stop(self, interrupt: Interrupt) -> None:
        """Let every running cell finish its epoch, and take those back that wait."""
        assert interrupt.signal is not None
        self.stopping = True
        self._take_back()
        if self.there:
            name = interrupt.signal.name
            self.listener.on_notice(
                f"{name}: the running cells finish their epoch and are kept; another {name} stops them at once"
            )
        for handed in self.there:
            self.engine.stop(handed.folder)

    def _stop_at_once(self) -> None:
        for handed in self.there:
            self.engine.kill(handed.folder)
        for handed in list(self.there):
            self._finalize(handed, CellStatus.INTERRUPTED, "interrupted at once")
