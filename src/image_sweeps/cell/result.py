"""The result of a cell: a small file in its folder, from which the sweep learns how the cell ended."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from image_sweeps.cell.folders import CellFile
from image_sweeps.cell.status import CellStatus
from image_sweeps.fit.epoch import Epoch
from image_sweeps.system.files import DiskError, write_first, write_text


class Pruned(Exception):  # noqa: N818, nothing went wrong
    """The search has pruned the cell, which is over and will not be tested.

    Attributes:
        epochs: the epochs that the cell has trained.
        best: the best of these epochs; None if there is none.
    """

    def __init__(self, reason: str, epochs: Sequence[Epoch], best: Epoch | None) -> None:
        super().__init__(reason)
        self.epochs, self.best = epochs, best


@dataclass(frozen=True)
class Result:
    """The result of a cell. All numbers are set if the cell finished; a pruned cell has no test accuracy.

    Attributes:
        status: finished, pruned, failed or interrupted.
        reason: why the cell was pruned, failed or was interrupted, else None.
        run_id: the id of the run in MLflow.
        num_epochs: the number of epochs that the cell trained.
        seconds: the time of training and validation over all epochs.
    """

    cell: str
    name: str
    status: CellStatus
    reason: str | None = None
    run_id: str | None = None
    best_epoch: int = 0
    val_loss: float = float("nan")
    val_accuracy: float = float("nan")
    test_accuracy: float = float("nan")
    test_accuracy_low: float = float("nan")
    test_accuracy_high: float = float("nan")
    num_parameters: int = 0
    seconds: float = float("nan")
    num_epochs: int = 0

    @property
    def finished(self) -> bool:
        return self.status is CellStatus.FINISHED

    @property
    def over(self) -> bool:
        """Whether nothing is left to do for the cell."""
        return self.status.over

    def save(self, folder: Path) -> None:
        """Write the result into the folder of the cell.

        If the cell is not over, a failed write is ignored: without a result, the cell counts as still to be run. A full
        disk is often why a cell did not finish, and the process that writes the result may have other cells to run.

        Raises:
            DiskError: if the disk does not take the result of a cell that is over.
        """
        try:
            write_text(folder / CellFile.RESULT, json.dumps(asdict(self), indent=2))
        except DiskError:
            if self.over:
                raise

    def save_first(self, folder: Path) -> bool:
        """Write the result unless the cell itself has written one meanwhile, which then counts. Needs no lock.

        Returns: False if there was a result already.
        """
        try:
            return write_first(folder / CellFile.RESULT, json.dumps(asdict(self), indent=2))
        except DiskError:
            return True  # ignored, as in `save`

    @staticmethod
    def remove(folder: Path) -> None:
        """Remove the result of an earlier attempt."""
        (folder / CellFile.RESULT).unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Return the result in `folder`, or None if there is none."""
        path = folder / CellFile.RESULT
        if not path.exists():
            return None
        content = json.loads(path.read_text())
        return cls(**{**content, "status": CellStatus(content["status"])})


def load_status(folder: Path) -> CellStatus:
    """Return the status of the cell in `folder`. A failed cell, too, can continue from its checkpoint if it has one."""
    result = Result.load(folder)
    if result is not None and result.status is not CellStatus.INTERRUPTED:
        return result.status
    return CellStatus.INTERRUPTED if (folder / CellFile.LAST).exists() else CellStatus.NEW
