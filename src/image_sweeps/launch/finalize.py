"""The finalization of a cell whose process has ended without a result."""

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
"""The limits of the shown output of a dead process: a crash writes about 20 lines, one of which lists 200 modules."""

MAX_OUTPUT_BYTES = 64 * 1024
"""The bytes read from the end of the output: a process that prints endlessly leaves more than fits in memory."""


def finalize_dead_cell(cell: Cell, folder: Path, status: CellStatus, reason: str, sweep: Claim | None) -> Result:
    """Save a result and end the run in the store. Return the result, or the cell's own if there is one after all.

    Args:
        cell: the cell as it was saved.
        folder: the folder of the cell.
        status: the status of the result.
        reason: the reason of the result.
        sweep: the claim on the sweep that this process, or the process that it works for, holds; None for no claim.

    Raises:
        SupersededError: if another process has taken over the sweep, for which the cell may be running now.
    """
    if sweep:
        sweep.raise_if_superseded()
    with suppress(DiskError):
        Claim.acquire(folder)  # the process may still run, on a machine that the scheduler has lost
    journal = Journal(folder)
    result = Result(cell.id, cell.name, status, reason, journal.progress.run_id)
    if not result.save_first(folder) and (left := Result.load(folder)) is not None:
        return left
    with suppress(OSError):  # a full disk may have ended this cell, and must not end the others
        if journal.open:
            if (folder / CellFile.OUTPUT).exists():
                with journal.files() as files:
                    shutil.copyfile(folder / CellFile.OUTPUT, files / CellFile.OUTPUT)
            journal.end(status, reason)
    if journal.exists and not cell.config.tracking.offline:
        _deliver(journal, cell)
    return result


def _deliver(journal: Journal, cell: Cell) -> None:
    """Deliver the records to the store. If the store is unavailable, they are delivered after the sweep or later."""
    from image_sweeps.tracking.delivery import StoreUnavailableError, deliver  # imports MLflow; a node may not need it
    from image_sweeps.tracking.store import StoreError, open_store

    with suppress(StoreUnavailableError, StoreError):
        deliver(journal, open_store(cell.config))


def size(path: Path) -> int:
    """Return the size of a file in bytes, or 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0


def last_lines(path: Path, start: int = 0) -> str:
    """Return the last lines that processes wrote to the file at `path`, from byte `start` on."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(start, end - MAX_OUTPUT_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(line[:MAX_LINE_LENGTH] for line in lines[-NUM_LAST_LINES:])
