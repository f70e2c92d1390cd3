"""What happens in a cell's process on a node of a cluster, where a scheduler has started it and nobody listens.

    python -m image_sweeps.launch.node outputs/sweeps/20261121-084502-3f9a1c/1020079e5857 --threads 2

`image_sweeps.launch.remote` sees from the cell's folder how it gets on.
"""

import argparse
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
from image_sweeps.launch.worker import GRACE_S, HydraJob, Work, hung, keep_output, load_or_refuse, take_slot, train_cell
from image_sweeps.system import process_exit

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
"""Signals by which schedulers ask a process to make room, and SIGINT, by which `image_sweeps.launch.remote` does."""


class OutputListener(CellListener):
    """Writes into the cell's output what its user should know: nobody listens.

    Attributes:
        signals: that have come, each of which asks to stop.
    """

    def __init__(self) -> None:
        self.signals: list[signal.Signals] = []

    @property
    def stop_requested(self) -> bool:
        return bool(self.signals)

    def on_failure(self, cell: Cell, text: str) -> None:
        self.on_notice(text)

    def on_notice(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")

    def stop(self, number: int, frame: FrameType | None) -> None:
        """As a signal's handler."""
        self.signals.append(signal.Signals(number))


def work_alone(folder: Path, num_threads: int, work: Work = train_cell) -> list[signal.Signals]:
    """Work on the cell that is saved in `folder`, as a scheduler's job does. This is the whole life of the process.

    SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 ask to stop after the epoch; they may have been blocked up to here. GPUs are
    those that the scheduler has left visible.

    Args:
        folder: the cell's own, with `HydraJob.save` in it.
        num_threads: that it may use on the CPU.
        work: what is done; by default the cell is trained and recorded.

    Returns: the signals that came.
    """
    keep_output(folder)
    listener = OutputListener()
    for number in STOPPING:
        signal.signal(number, listener.stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    take_slot(Slot(socket.gethostname(), num_threads))
    HydraJob.load(folder).configure()
    if (cell := load_or_refuse(folder, listener)) is None:
        return listener.signals
    if (timeout_s := cell.config.cell_timeout_s) is not None:
        _fail_when_hung(cell, folder, timeout_s)
    work(cell, folder, listener)
    return listener.signals


def _fail_when_hung(cell: Cell, folder: Path, timeout_s: float) -> None:
    """Nobody kills this process when its time is up: it has to do so itself, and say why."""

    def fail() -> None:
        faulthandler.dump_traceback()
        Result(cell.id, cell.name, CellStatus.FAILED, hung(timeout_s)).save_first(folder)
        os._exit(1)

    timer = threading.Timer(timeout_s, fail)
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(timeout_s + GRACE_S, exit=True)  # where not even a thread gets its turn


def main() -> None:
    """The command line of a scheduler's job."""
    parser = argparse.ArgumentParser(description="Train the cell that a sweep has saved in a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=1, help="that it may use on the CPU (default: 1)")
    arguments = parser.parse_args()
    work_alone(arguments.folder, arguments.threads)


if __name__ == "__main__":
    process_exit.run(main)
