"""The process of a cell, as its parent process sees it."""

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
"""The exit code reported for every child of a fork server that was killed, although the children continue to run."""

SIGNAL_NAMES = {number.value: number.name for number in signal.Signals}


@dataclass(eq=False)
class CellProcess:
    """The process of a running cell.

    Attributes:
        cell: the cell as it was saved.
        folder: the folder of the cell.
        slot: the slot that the cell occupies.
        process: the process in which the cell runs.
        channel: the connection from which its messages are received; None after it was closed.
        output_start: the offset in bytes where the output of this attempt begins in the output file.
        deadline: the time on the monotonic clock when the process is killed; None for never.
        failure: the failure message that the cell has sent; None if there is none.
        hung: whether the process was killed at its deadline.
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
        """Kill the process immediately, if it was started."""
        if self.process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)

    def how_it_ended(self) -> str:
        """Return the reason why there is no result, as seen from outside the process."""
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
