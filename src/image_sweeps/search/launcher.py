"""Launchers of trials: this project's own take the next cell when a slot is free, others take cells in batches."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from image_sweeps.cell.cell import Cell
from image_sweeps.sweep.run import Launch, folder_overrides

RunCells = Callable[[Iterable[Path], int], object]
"""A function that runs cells saved in their folders and takes the next folder when a slot is free. Its second argument
is the expected number of cells.
"""


@dataclass(frozen=True)
class Launcher:
    """A launcher of trials.

    Attributes:
        launch: runs a list of jobs, as for a sweep.
        run_cells: runs cells whose number is not known in advance.
    """

    launch: Launch
    run_cells: RunCells


def in_batches(launch: Launch, batch_size: int) -> RunCells:
    """Return a function that passes cells to `launch` in batches of `batch_size`, one batch after the other."""

    def run_cells(folders: Iterable[Path], num_cells: int) -> None:
        cell_folders = iter(folders)
        while batch := list(islice(cell_folders, batch_size)):
            launch([_job(folder) for folder in batch])

    return run_cells


def _job(folder: Path) -> list[str]:
    """Return the job of the cell in `folder` as overrides."""
    cell = Cell.load(folder)
    assert cell is not None
    return [*cell.overrides, *folder_overrides(folder.parent, folder.name)]
