"""The process pool: each cell runs in its own process, one cell per slot. A crash of one cell affects no other cell.

The parent process waits for the messages and the ends of these processes. It never waits for a batch: the next cell
takes a free slot immediately.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path

from image_sweeps.cell.cell import Cell
from image_sweeps.cell.claim import Claim
from image_sweeps.cell.failure_policy import FailurePolicy
from image_sweeps.cell.folders import CellFile
from image_sweeps.cell.listener import CellListener
from image_sweeps.cell.result import Result
from image_sweeps.cell.status import CellStatus
from image_sweeps.fit.epoch import Epoch
from image_sweeps.launch import fork_server
from image_sweeps.launch.cell_process import SERVER_DIED, CellProcess
from image_sweeps.launch.finalize import finalize_dead_cell, last_lines
from image_sweeps.launch.slots import Slot
from image_sweeps.launch.worker import (
    GRACE_S,
    Failure,
    HydraJob,
    Notice,
    Task,
    TrainStart,
    Work,
    run,
    train_cell,
)
from image_sweeps.system.interrupt import Interrupt, wakeup_fd


class Pool:
    """A pool that runs each cell in its own process.

    Args:
        slots: the places where cells run, one cell at a time in each.
        hydra_job: a function that returns Hydra's job settings for the cell in a folder.
        listener: the listener that is notified of the progress of the cells.
        work: the function that each process applies to its cell.
        when_idle: is called once, as soon as a slot stays free after the first result, to prepare the work that
            follows the cells.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        hydra_job: Callable[[Path], HydraJob],
        listener: CellListener,
        work: Work = train_cell,
        when_idle: Callable[[], object] | None = None,
    ) -> None:
        self.hydra_job, self.listener, self.work, self.when_idle = hydra_job, listener, work, when_idle
        self.free = deque(slots)
        self.running: list[CellProcess] = []
        self.results: list[Result] = []
        self.ending = False
        self.noted: str | None = None
        self.claim: Claim | None = None

    def run(self, folders: Iterable[Path]) -> list[Result]:
        """Run the cells saved in `folders` and return their results in the order in which the cells end.

        The next folder is requested only when a slot is free: it may depend on the results of earlier cells.

        Raises:
            KeyboardInterrupt: if the user or the machine requested a stop; raised after all processes have ended.
            SupersededError: if another process has taken over the sweep.
        """
        waiting = iter(folders)
        with Interrupt.on_signals() as interrupt, wakeup_fd() as woken:
            try:
                while not interrupt.requested:
                    if not self._fill_slots(waiting):
                        return self.results
                    if self.free and self.results and self.when_idle:
                        self.when_idle()
                        self.when_idle = None
                    self._wait_for_events(woken)
                self._ask_to_stop(interrupt)
                while self.running:
                    self._wait_for_events(woken)
            except KeyboardInterrupt:
                self._stop_at_once()
            finally:
                for attempt in self.running:
                    attempt.kill()
        raise KeyboardInterrupt

    def _fill_slots(self, waiting: Iterator[Path]) -> bool:
        """Start a cell in every free slot, and return whether any cell is running."""
        while self.free and not self.ending and (folder := next(waiting, None)):
            self._start(folder, self.free.popleft())
        return bool(self.running)

    def _start(self, folder: Path, slot: Slot) -> None:
        cell = Cell.load(folder)
        assert cell is not None
        self.claim = self.claim or Claim.current(folder.parent)
        Result.remove(folder)
        self.listener.on_process_start(cell, slot.name)
        fork_server.start()
        receiver, sender = fork_server.CONTEXT.Pipe(duplex=False)
        timeout_s = cell.config.cell_timeout_s
        task = Task(folder, slot, self.work, self.hydra_job(folder), timeout_s)
        process = fork_server.CONTEXT.Process(target=run, args=(task, sender), name=cell.name)
        output = folder / CellFile.OUTPUT
        output.touch()
        attempt = CellProcess(cell, folder, slot, process, receiver, output.stat().st_size)
        self.running.append(attempt)  # before it starts: an interrupt may come at any moment
        process.start()
        sender.close()
        if timeout_s is not None:
            attempt.deadline = time.monotonic() + timeout_s + GRACE_S

    def _wait_for_events(self, woken: int) -> None:
        """Wait for the next events and handle them: messages, ends of processes, timeouts and signals."""
        channels = [attempt.channel for attempt in self.running if attempt.channel]
        deadlines = [attempt.deadline for attempt in self.running if attempt.deadline]
        patience = max(0, min(deadlines) - time.monotonic()) if deadlines else None
        ready = wait([woken, *channels, *(attempt.process.sentinel for attempt in self.running)], patience)
        if woken in ready:
            os.read(woken, 1024)
        for attempt in list(self.running):
            ended = attempt.process.sentinel in ready
            if ended or attempt.channel in ready:
                self._receive(attempt)
            if ended:
                self._conclude(attempt, CellStatus.FAILED)
            elif attempt.deadline and attempt.deadline <= time.monotonic():
                attempt.hung, attempt.deadline = True, None
                attempt.kill()

    def _receive(self, attempt: CellProcess) -> None:
        """Pass the messages that the process has sent so far to the listener."""
        try:
            while attempt.channel and attempt.channel.poll():
                match attempt.channel.recv():
                    case TrainStart(num_done):
                        self.listener.on_train_start(attempt.cell, num_done)
                    case Epoch() as epoch:
                        self.listener.on_epoch_end(attempt.cell, epoch)
                    case Failure(text):
                        attempt.failure = text
                        self.listener.on_failure(attempt.cell, text)
                    case Notice(text) if text != self.noted:
                        self.noted = text
                        self.listener.on_notice(text)
        except (EOFError, OSError):
            attempt.channel = None

    def _conclude(self, attempt: CellProcess, status: CellStatus) -> None:
        """Record the result of a process that has ended. If the process saved no result, its cell gets `status`."""
        attempt.process.join()
        if attempt.process.exitcode == SERVER_DIED:
            attempt.kill()
        result = Result.load(attempt.folder) or self._finalize(attempt, status)
        self.listener.on_cell_end(result)
        self.results.append(result)
        self.ending |= FailurePolicy.of(attempt.cell.config).ends_launch([result])
        self.free.append(attempt.slot)
        self.running.remove(attempt)
        attempt.process.close()

    def _finalize(self, attempt: CellProcess, status: CellStatus) -> Result:
        """Save a result and end the run in the store, for a process that died before it did so."""
        cell, failed = attempt.cell, status is CellStatus.FAILED
        reason = attempt.how_it_ended() if failed else "interrupted at once"
        if failed and attempt.failure is None:
            lines = last_lines(attempt.folder / CellFile.OUTPUT, attempt.output_start)
            self.listener.on_failure(cell, f"{reason}\n{lines}".strip())
        return finalize_dead_cell(cell, attempt.folder, status, reason, self.claim)

    def _ask_to_stop(self, interrupt: Interrupt) -> None:
        """Ask every running cell to stop after its epoch."""
        assert interrupt.signal is not None
        if self.running:
            name = interrupt.signal.name
            self.listener.on_notice(
                f"{name}: the running cells finish their epoch and are kept; another {name} stops them at once"
            )
        for attempt in self.running:
            attempt.process.terminate()

    def _stop_at_once(self) -> None:
        for attempt in self.running:
            attempt.kill()
        for attempt in [attempt for attempt in self.running if attempt.process.pid is not None]:
            self._conclude(attempt, CellStatus.INTERRUPTED)
