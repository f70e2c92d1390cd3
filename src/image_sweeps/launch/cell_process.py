"""A cell in a process of its own, as the process that started it sees it."""

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from image_sweeps.cell.cell import Cell
from image_sweeps.launch.slots import Slot
from image_sweeps.launch.worker import Message, hung

SERVER_DIED = 255
"""What is said to be the exit code of every child of a fork server that was killed; the children live on."""

SIGNAL_NAMES = {number.value: number.name for number in signal.Signals}


@dataclass(eq=False)
class CellProcess:
    """A cell that runs.

    Attributes:
        cell: as it was saved.
        folder: the cell's own.
        slot: that it takes.
        process: its own.
        channel: what it says comes from here; None when that has ended.
        output_start: where its part of the output file begins, in bytes.
        deadline: when it is killed, on the monotonic clock; None for never.
        failure: what it said of why it failed.
        hung: whether it was killed because its time was up.
    """

    cell: Cell
    folder: Path
    slot: Slot
    process: ForkServerProcess
    channel: "Connection[Message, Message] | None"
    output_start: int
    deadline: float | None = None
    failure: str | None = None
    hung: bool = False

    def kill(self) -> None:
        """End the process at once, if there is one."""
        if self.process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)

    def how_it_ended(self) -> str:
        """Why there is no result, as far as can be told from outside."""
        code = self.process.exitcode
        assert code is not None
        if self.hung:
            assert self.cell.config.cell_timeout_s is not None
            return hung(self.cell.config.cell_timeout_s)
        if self.failure is not None:
            return self.failure.strip().splitlines()[-1]
        if code < 0:
            hint = ", perhaps because memory ran out" if code == -signal.SIGKILL else ""
            return f"killed by {SIGNAL_NAMES.get(-code, f'signal {-code}')}{hint}"
        hint = ", or the fork server was killed," if code == SERVER_DIED else ""
        return f"its process ended with exit code {code}{hint} and left no result"
