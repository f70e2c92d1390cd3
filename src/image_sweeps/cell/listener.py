"""Who is told how cells get on: a terminal, the process that started a cell, a file."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # keeps torch away from --help
    import torch

    from image_sweeps.cell.cell import Cell
    from image_sweeps.cell.result import Result
    from image_sweeps.dataset import Dataset, Splits
    from image_sweeps.fit.epoch import Epoch


class CellListener:
    """Is told how cells get on, and does nothing about it; a subclass overrides what it cares for.

    A process that trains a cell calls `on_data_ready` to `on_notice`. A launcher knows when a cell gets a process and
    when that is gone; it calls all but `on_data_ready`, for several cells at a time.
    """

    def on_process_start(self, cell: "Cell", where: str) -> None:
        """The cell gets a process on `where`. One that was thrown off its machine may get another."""

    def on_data_ready(self, cell: "Cell", source: "Dataset", splits: "Splits", device: "torch.device") -> None:
        """The data of the cell has been read and split."""

    def on_train_start(self, cell: "Cell", num_done: int) -> None:
        """The cell is about to train. `num_done` epochs are behind it, where it goes on from a checkpoint."""

    def on_epoch_end(self, cell: "Cell", epoch: "Epoch") -> None:
        """One more epoch has been measured and kept."""

    def on_failure(self, cell: "Cell", text: str) -> None:
        """The cell has failed; `text` is the message, or the traceback where the error does not explain itself."""

    def on_notice(self, text: str) -> None:
        """The user should know `text` at once. Called from any thread."""

    def on_cell_end(self, result: "Result") -> None:
        """The cell has ended, in whichever way."""

    @property
    def stop_requested(self) -> bool:
        """Whether the cell is to stop after the epoch that it is in."""
        return False
