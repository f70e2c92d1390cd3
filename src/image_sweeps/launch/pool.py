"""Cells in processes of their own, as many at a time as there are slots; each may die without taking another with it.

The process that started them waits for what they say and how they end. It never waits for a batch: a slot that is free
is taken by the next cell at once.
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
from image_sweeps.system.interrupt import Interrupt, waking


class Pool:
    """Runs cells.

    Args:
        slots: where, one cell at a time in each.
        hydra_job: what Hydra's configuration says of the job of a cell, by its folder.
        listener: is told how the cells get on.
        work: what each process does with its cell.
        when_idle: is called once, as soon as a slot stays free: what has to be done after the cells can begin then.
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
        """Run the cells that are saved in `folders`. Returns their outcomes, in the order in which they came.

        The next one is asked for when a slot is free: what it is may depend on what became of those before.

        Raises:
            KeyboardInterrupt: where the user, or the machine, asked to stop, once and for all it is over.
            SupersededError: where another process has taken the sweep over.
        """
        waiting = iter(folders)
        with Interrupt.on_signals() as interrupt, waking() as woken:
            try:
                while not interrupt.requested:
                    if not self._start_some(waiting):
                        return self.results
                    if self.free and self.results and self.when_idle:
                        self.when_idle()
                        self.when_idle = None
                    self._listen(woken)
                self._ask_to_stop(interrupt)
                while self.running:
                    self._listen(woken)
            except KeyboardInterrupt:
                self._stop_at_once()
            finally:
                for attempt in self.running:
                    attempt.kill()
        raise KeyboardInterrupt

    def _start_some(self, waiting: Iterator[Path]) -> bool:
        """Give every free slot a cell. Returns whether any is running."""
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

    def _listen(self, woken: int) -> None:
        """Wait for the next events: cells that say something, end, or take too long, and signals."""
        channels = [attempt.channel for attempt in self.running if attempt.channel]
        deadlines = [attempt.deadline for attempt in self.running if attempt.deadline]
        patience = max(0, min(deadlines) - time.monotonic()) if deadlines else None
        ready = wait([woken, *channels, *(attempt.process.sentinel for attempt in self.running)], patience)
        if woken in ready:
            os.read(woken, 1024)
        for attempt in list(self.running):
            ended = attempt.process.sentinel in ready
            if ended or attempt.channel in ready:
                self._hear(attempt)
            if ended:
                self._conclude(attempt, CellStatus.FAILED)
            elif attempt.deadline and attempt.deadline <= time.monotonic():
                attempt.hung, attempt.deadline = True, None
                attempt.kill()

    def _hear(self, attempt: CellProcess) -> None:
        """What the process has said so far."""
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
        """The process is gone. If it left no result, its cell has `status`."""
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
        """Do what the process did not live to do: leave a result, and end the run in the store."""
        cell, failed = attempt.cell, status is CellStatus.FAILED
        reason = attempt.how_it_ended() if failed else "interrupted at once"
        if failed and attempt.failure is None:
            lines = last_lines(attempt.folder / CellFile.OUTPUT, attempt.output_start)
            self.listener.on_failure(cell, f"{reason}\n{lines}".strip())
        return finalize_dead_cell(cell, attempt.folder, status, reason, self.claim)

    def _ask_to_stop(self, interrupt: Interrupt) -> None:
        """Let every running cell finish its epoch."""
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
