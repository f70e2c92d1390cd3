"""What cells of the remote tests do, each in a process of its own: `python -m tests.support.faulty_node FOLDER`."""

import os
import signal
import sys
from pathlib import Path

from image_sweeps.cell.result import Result
from image_sweeps.cell.status import CellStatus
from image_sweeps.launch.attempt import run_attempt
from image_sweeps.launch.scheduled_cell import run_scheduled_cell
from tests.support.faulty_work import hang
from tests.support.waiting import until


def work(cell, folder, listener):
    """By seed: 0 finishes, 1 raises, 2 exits without a word, 3 is killed, 4 hangs, others train when they are let."""
    match cell.config.seed:
        case 0:
            Result(cell.id, cell.name, CellStatus.FINISHED).save(folder)
        case 1:
            Result(cell.id, cell.name, CellStatus.FAILED, "ValueError: not this one").save(folder)
        case 2:
            print("last words", flush=True)
            os._exit(3)
        case 3:
            os.kill(os.getpid(), signal.SIGKILL)
        case 4:
            hang()
        case _:
            (folder / "there").touch()
            until((folder.parent / "go").exists)
            run_attempt(cell, folder, listener)


if __name__ == "__main__":
    run_scheduled_cell(Path(sys.argv[1]), 1, work)
