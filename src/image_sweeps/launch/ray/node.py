"""An attempt at a cell, in a worker of Ray's on a node."""

import os
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from image_sweeps.cell.folders import CellFile
from image_sweeps.cell.listener import CellListener
from image_sweeps.cell.status import CellStatus
from image_sweeps.launch import fork_server
from image_sweeps.system.files import write_text
from image_sweeps.system.interrupt import Interrupt

if TYPE_CHECKING:
    from image_sweeps.cell.cell import Cell


def attempt(path: str, num_threads: int, gives_gpu: bool, work: str) -> bool:
    """Run the cell that is saved in the folder at `path`, as the pool on one machine does in one of its slots.

    It has a process of its own, from a fork server that Ray's worker keeps for the cells after it: what befalls the
    cell leaves the worker alone, so that a worker or node that is lost is not the cell's fault.

    Args:
        path: of the cell's own folder.
        num_threads: that it may use on the CPU.
        gives_gpu: whether Ray has given it a GPU, or a share of one; it sees no other.
        work: what is done with it, by name.

    Returns: whether it was interrupted, and may go on.
    """
    from pkgutil import resolve_name

    with Interrupt.on_signals() as interrupt:  # before anything that takes long; Ray's cancelling is a SIGINT
        sys.modules["__main__"].__spec__ = find_spec("image_sweeps.__main__")  # or each cell would import Ray's
        fork_server.start()  # imports what cells need while this process imports the little that it needs itself
        from image_sweeps.cell.result import Result
        from image_sweeps.launch.pool import Pool
        from image_sweeps.launch.slots import Slot
        from image_sweeps.launch.worker import HydraJob

        folder = Path(path)
        left = Result.load(folder)
        if left is not None and left.status is not CellStatus.INTERRUPTED:
            return False  # the node was lost after that
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES") if gives_gpu else ""
        where = f"{socket.gethostname()} gpu {gpus}" if gpus else socket.gethostname()
        write_text(folder / CellFile.WHERE, where)
        pool = Pool([Slot(where, num_threads, gpus)], HydraJob.load, OutputFile(folder), resolve_name(work))
        try:
            pool.run([folder])
        except KeyboardInterrupt:
            return True
    return interrupt.requested


class OutputFile(CellListener):
    """Writes into the cell's output what is told of it; its numbers are read elsewhere.

    Args:
        folder: the cell's own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_failure(self, cell: "Cell", text: str) -> None:
        self.on_notice(text)

    def on_notice(self, text: str) -> None:
        with (self.folder / CellFile.OUTPUT).open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")
