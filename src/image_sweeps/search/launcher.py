"""Launchers of trials: this project's own take the next cell when a slot is free, others take cells in batches."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

from image_sweeps.cell.cell import Cell
from image_sweeps.sweep.run import folder_overrides

Launch = Callable[[Sequence[Sequence[str]]], object]
"""A function that runs jobs, each given as its list of overrides, and returns when all of them are over."""

RunCells = Callable[[Iterable[Path], int], object]
"""A function that runs cells saved in their folders and takes the next folder when a slot is free. Its second argument
is the expected number of cells.
"""


class Launcher(Protocol):
    """A launcher of cells that are saved in their folders."""

    def launch(self, jobs: Sequence[Sequence[str]]) -> object:
        """Run `jobs` as described for `Launch`."""

    def run_cells(self, folders: Iterable[Path], num_cells: int) -> object:
        """Run the cells in `folders` as described for `RunCells`."""


class SlotLauncher:
    """A launcher of this project, which takes one cell whenever a slot is free."""

    def __init__(self, launch: Launch, run_cells: RunCells) -> None:
        self._launch, self._run_cells = launch, run_cells

    def launch(self, jobs: Sequence[Sequence[str]]) -> object:
        return self._launch(jobs)

    def run_cells(self, folders: Iterable[Path], num_cells: int) -> object:
        return self._run_cells(folders, num_cells)


class BatchLauncher:
    """A launcher that passes cells in batches to another one, which returns when the whole batch is over.

    Args:
        launch: the function of the other launcher.
        batch_size: the number of cells in a batch.
    """

    def __init__(self, launch: Launch, batch_size: int) -> None:
        self._launch, self.batch_size = launch, batch_size

    def launch(self, jobs: Sequence[Sequence[str]]) -> object:
        return self._launch(jobs)

    def run_cells(self, folders: Iterable[Path], num_cells: int) -> object:
        cell_folders = iter(folders)
        while batch := list(islice(cell_folders, self.batch_size)):
            self._launch([_job(folder) for folder in batch])
        return None


def _job(folder: Path) -> list[str]:
    """Return the job of the cell in `folder` as overrides."""
    cell = Cell.load(folder)
    assert cell is not None
    return [*cell.overrides, *folder_overrides(folder.parent, folder.name)]
