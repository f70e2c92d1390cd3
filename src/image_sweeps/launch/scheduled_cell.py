"""The process of a cell on a node of a cluster. A scheduler starts it, and no parent process receives its messages.

`image_sweeps.launch.remote` reads the progress of the cell from its folder.
"""

import faulthandler
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from types import FrameType

from image_sweeps.cell.cell import Cell
from image_sweeps.cell.listener import CellListener
from image_sweeps.cell.result import Result
from image_sweeps.cell.status import CellStatus
from image_sweeps.launch.slots import Slot
from image_sweeps.launch.worker import (
    GRACE_S,
    HydraJob,
    Work,
    apply_slot,
    hung,
    load_or_refuse,
    redirect_to_output_file,
    train_cell,
)

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
"""The signals that request a stop: schedulers send them to make room, and `image_sweeps.launch.remote` sends SIGINT."""


class OutputListener(CellListener):
    """A listener that writes messages for the user to the cell's output, because no parent process receives them.

    Attributes:
        signals: the signals that have been received, each of which requests a stop.
    """

    def __init__(self) -> None:
        self.signals: list[signal.Signals] = []

    @property
    def stop_requested(self) -> bool:
        return bool(self.signals)

    def on_notice(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Request a stop, as the handler of a signal."""
        self.signals.append(signal.Signals(number))


def run_scheduled_cell(folder: Path, num_threads: int, work: Work = train_cell) -> list[signal.Signals]:
    """Process the cell saved in `folder`, as a scheduler's job. This is the main function of the process.

    SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 request a stop after the epoch; the caller may have blocked them. The cell uses
    the GPUs that the scheduler has left visible.

    Args:
        folder: the folder of the cell, in which `HydraJob.save` has saved Hydra's settings.
        num_threads: the number of CPU threads that the cell may use.
        work: the function that is applied to the cell; by default the cell is trained and recorded.

    Returns: the signals that were received.
    """
    redirect_to_output_file(folder)
    listener = OutputListener()
    for number in STOPPING:
        signal.signal(number, listener.stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    apply_slot(Slot(socket.gethostname(), num_threads))
    HydraJob.load(folder).configure()
    if (cell := load_or_refuse(folder, listener)) is None:
        return listener.signals
    if (timeout_s := cell.config.cell_timeout_s) is not None:
        _fail_when_hung(cell, folder, timeout_s)
    work(cell, folder, listener)
    return listener.signals


def _fail_when_hung(cell: Cell, folder: Path, timeout_s: float) -> None:
    """Save a failed result and end this process after `timeout_s` seconds, because no parent process does so."""

    def fail() -> None:
        faulthandler.dump_traceback()
        Result(cell.id, cell.name, CellStatus.FAILED, hung(timeout_s)).save_first(folder)
        os._exit(1)

    timer = threading.Timer(timeout_s, fail)
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(timeout_s + GRACE_S, exit=True)  # if even the timer's thread is blocked
