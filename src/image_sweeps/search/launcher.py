"""Who runs the trials: our launchers take the next one when there is room, others take what they are given."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

from image_sweeps.cell.cell import Cell
from image_sweeps.sweep.run import folder_overrides

Launch = Callable[[Sequence[Sequence[str]]], object]
"""Runs jobs, each given as its overrides, and comes back when all of them are over."""

RunCells = Callable[[Iterable[Path], int], object]
"""Runs cells that are saved in their folders, asking for the next one when there is a slot for it; how many there are
to come, as far as is known, is the second argument.
"""


class Launcher(Protocol):
    """Runs cells that are saved in their folders."""

    def launch(self, jobs: Sequence[Sequence[str]]) -> object:
        """As `Launch`."""

    def run_cells(self, folders: Iterable[Path], num_cells: int) -> object:
        """As `RunCells`."""


class SlotLauncher:
    """A launcher of this project."""

    def __init__(self, launch: Launch, run_cells: RunCells) -> None:
        self._launch, self._run_cells = launch, run_cells

    def launch(self, jobs: Sequence[Sequence[str]]) -> object:
        return self._launch(jobs)

    def run_cells(self, folders: Iterable[Path], num_cells: int) -> object:
        return self._run_cells(folders, num_cells)


class BatchLauncher:
    """Hands cells to another launcher, some at a time: it comes back when all of these are over.

    Args:
        launch: of the launcher.
        batch_size: how many at a time.
    """

    def __init__(self, launch: Launch, batch_size: int) -> None:
        self._launch, self.batch_size = launch, batch_size

    def launch(self, jobs: Sequence[Sequence[str]]) -> object:
        return self._launch(jobs)

    def run_cells(self, folders: Iterable[Path], num_cells: int) -> object:
        coming = iter(folders)
        while batch := list(islice(coming, self.batch_size)):
            self._launch([_job(folder) for folder in batch])
        return None


def _job(folder: Path) -> list[str]:
    """The job of the cell in `folder`."""
    cell = Cell.load(folder)
    assert cell is not None
    return [*cell.overrides, *folder_overrides(folder.parent, folder.name)]
