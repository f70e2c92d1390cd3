"""Who is told how a cell is getting on, and may ask it to stop: the terminal, or the process that started it."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # keeps torch away from --help
    import torch

    from image_sweeps.cell.cell import Cell
    from image_sweeps.dataset import Dataset, Splits
    from image_sweeps.fit.epoch import Epoch


class Progress(Protocol):
    """A listener to one cell after the other."""

    def begun(self, cell: "Cell", source: "Dataset", splits: "Splits", place: "torch.device", num_done: int) -> None:
        """The cell is about to train. `num_done` epochs are behind it, where it goes on from a checkpoint."""

    def epoch_over(self, epoch: "Epoch") -> None:
        """One more epoch has been measured and kept."""

    def failed(self, cell: "Cell", text: str) -> None:
        """The cell has failed; `text` is the message, or the traceback where the error does not explain itself."""

    def note(self, text: str) -> None:
        """Something else that the user should know at once. Called from any thread."""

    @property
    def stop_requested(self) -> bool:
        """Whether the cell is to stop after the epoch that it is in."""
        ...
