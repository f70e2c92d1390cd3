"""The listener that is told of the progress of cells: a terminal, the process that started a cell, or a file."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # keeps torch away from --help
    import torch

    from image_sweeps.cell.cell import Cell
    from image_sweeps.cell.result import Result
    from image_sweeps.dataset import Dataset, Splits
    from image_sweeps.fit.epoch import Epoch


class CellListener:
    """A listener for the progress of cells that does nothing; a subclass overrides the methods that it needs.

    A process that trains a cell calls `on_data_ready` to `on_notice`. A launcher knows when the process of a cell
    starts and ends; it calls all methods except `on_data_ready`, for several cells at a time.
    """

    def on_process_start(self, cell: "Cell", where: str) -> None:
        """Handle the start of a process for the cell on `where`. A cell that loses its machine may get another one."""

    def on_data_ready(self, cell: "Cell", source: "Dataset", splits: "Splits", device: "torch.device") -> None:
        """Handle the end of loading: the data of the cell has been read and split."""

    def on_train_start(self, cell: "Cell", num_done: int) -> None:
        """Handle the start of training. `num_done` epochs are done already if the cell continues from a checkpoint."""

    def on_epoch_end(self, cell: "Cell", epoch: "Epoch") -> None:
        """Handle the end of an epoch, which has been measured and is in the checkpoint."""

    def on_failure(self, cell: "Cell", text: str) -> None:
        """Handle a failed cell. `text` is the message, or the traceback if the error does not explain itself."""
        self.on_notice(text)

    def on_notice(self, text: str) -> None:
        """Show `text` to the user at once. May be called from any thread."""

    def on_cell_end(self, result: "Result") -> None:
        """Handle the end of the cell, whatever its result."""

    @property
    def stop_requested(self) -> bool:
        """Whether the cell should stop after its present epoch."""
        return False
