"""A cell whose process has gone without leaving a result: what it did not live to do is done for it."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from image_sweeps.cell.cell import Cell
from image_sweeps.cell.claim import Claim
from image_sweeps.cell.folders import CellFile
from image_sweeps.cell.result import Result
from image_sweeps.cell.status import CellStatus
from image_sweeps.system.files import DiskError
from image_sweeps.tracking.journal import Journal

NUM_LAST_LINES, MAX_LINE_LENGTH = 40, 200
"""What is shown of what a process wrote before it died: a crash leaves about 20 lines, a list of 200 modules in one."""

MAX_OUTPUT_BYTES = 64 * 1024
"""These lines are looked for at the end; a process that prints without end leaves more than fits in memory."""


def finalize_dead_cell(cell: Cell, folder: Path, status: CellStatus, reason: str, sweep: Claim | None) -> Result:
    """Leave a result, and end the run in the store. Returns the result, or the one that is there after all.

    Args:
        cell: as it was saved.
        folder: the cell's own.
        status: that it gets.
        reason: that it gets.
        sweep: the claim of this process, or of one that it works for, on the sweep.

    Raises:
        SupersededError: where another process has taken the sweep over, which the cell may be running for now.
    """
    if sweep:
        sweep.raise_if_superseded()
    with suppress(DiskError):
        Claim.acquire(folder)  # the process may live on, on a machine that the scheduler has lost sight of
    journal = Journal(folder)
    result = Result(cell.id, cell.name, status, reason, journal.progress.run_id)
    if not result.save_first(folder) and (left := Result.load(folder)) is not None:
        return left
    with suppress(OSError):  # a full disk may be why it ended, and must not end the others
        if journal.open:
            if (folder / CellFile.OUTPUT).exists():
                with journal.files() as files:
                    shutil.copyfile(folder / CellFile.OUTPUT, files / CellFile.OUTPUT)
            journal.end(status, reason)
    if journal.exists and not cell.config.tracking.offline:
        _deliver(journal, cell)
    return result


def _deliver(journal: Journal, cell: Cell) -> None:
    """Bring the records to the store; where it is not there, that is done when the sweep is over, or later."""
    from image_sweeps.tracking.delivery import StoreUnavailableError, deliver  # takes MLflow, which a node may not need
    from image_sweeps.tracking.store import StoreError, open_store

    with suppress(StoreUnavailableError, StoreError):
        deliver(journal, open_store(cell.config))


def size(path: Path) -> int:
    """Of a file, in bytes; 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def last_lines(path: Path, start: int = 0) -> str:
    """The end of what processes wrote to the file at `path` from byte `start` on."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(start, end - MAX_OUTPUT_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(line[:MAX_LINE_LENGTH] for line in lines[-NUM_LAST_LINES:])
