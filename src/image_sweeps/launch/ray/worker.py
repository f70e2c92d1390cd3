"""An attempt at a cell in a Ray worker on a node."""

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
    pass


def attempt(path: str, num_threads: int, gives_gpu: bool, work: str) -> bool:
    """Run the cell saved in the folder at `path`, as the pool on one machine does in one of its slots.

    The cell has its own process, from a fork server that the Ray worker keeps for later cells. A crash of the cell does
    not affect the worker, so that the loss of a worker or a node is not the cell's fault.

    Args:
        path: the folder of the cell.
        num_threads: the number of CPU threads that the cell may use.
        gives_gpu: whether Ray has assigned a GPU or a share of one to the cell, which sees no other GPU.
        work: the name of the function that is applied to the cell.

    Returns: whether the cell was interrupted and may be resumed.
    """
    from pkgutil import resolve_name

    with Interrupt.on_signals() as interrupt:  # before all slow steps; Ray cancels a task by SIGINT
        sys.modules["__main__"].__spec__ = find_spec("image_sweeps.__main__")  # else each cell would import Ray's main
        fork_server.start()  # imports what cells need while this process imports the little that it needs itself
        from image_sweeps.cell.result import Result
        from image_sweeps.launch.pool import Pool
        from image_sweeps.launch.slots import Slot
        from image_sweeps.launch.worker import HydraJob

        folder = Path(path)
        left = Result.load(folder)
        if left is not None and left.status is not CellStatus.INTERRUPTED:
            return False  # the node was lost after the cell had ended
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
    """A listener that writes failures and notices to the cell's output; the metrics are read from the journal.

    Args:
        folder: the folder of the cell.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_notice(self, text: str) -> None:
        with (self.folder / CellFile.OUTPUT).open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")
