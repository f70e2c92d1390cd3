"""What a cell leaves for the sweep: a small file in its own folder, written by the cell itself."""

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
    """A search gave the cell up: it is over, and is not tested.

    Attributes:
        epochs: that it has trained.
        best: of them; None where there is none.
    """

    def __init__(self, reason: str, epochs: Sequence[Epoch], best: Epoch | None) -> None:
        super().__init__(reason)
        self.epochs, self.best = epochs, best


@dataclass(frozen=True)
class Result:
    """A cell's outcome. The numbers are those of a finished cell; a pruned one was not tested.

    Attributes:
        status: finished, pruned, failed or interrupted.
        reason: why it was pruned, failed or was interrupted, else None.
        run_id: MLflow's.
        num_epochs: that it trained.
        seconds: of training and validation, all epochs.
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
        """Whether nothing is left to be done."""
        return self.status.over

    def save(self, folder: Path) -> None:
        """Leave the outcome in the cell's folder.

        That a cell did not finish need not be known: without an outcome it is one that is still to be run. A full disk
        is often why it did not, and whoever writes down how a cell ended has other cells to look after.

        Raises:
            DiskError: where the disk does not take the outcome of a cell that is over.
        """
        try:
            write_text(folder / CellFile.RESULT, json.dumps(asdict(self), indent=2))
        except DiskError:
            if self.over:
                raise

    def save_first(self, folder: Path) -> bool:
        """Leave the outcome where there is none: one that the cell itself has left meanwhile counts. Needs no lock.

        Returns: whether it is the one that is there now.
        """
        try:
            return write_first(folder / CellFile.RESULT, json.dumps(asdict(self), indent=2))
        except DiskError:
            return True  # as above

    @staticmethod
    def remove(folder: Path) -> None:
        """Forget the outcome of an earlier attempt."""
        (folder / CellFile.RESULT).unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """What the cell of `folder` left, or None where it left nothing."""
        path = folder / CellFile.RESULT
        if not path.exists():
            return None
        content = json.loads(path.read_text())
        return cls(**{**content, "status": CellStatus(content["status"])})


def load_status(folder: Path) -> CellStatus:
    """What has become of the cell in `folder`. One that failed goes on from its checkpoint too, where it has one."""
    result = Result.load(folder)
    if result is not None and result.status is not CellStatus.INTERRUPTED:
        return result.status
    return CellStatus.INTERRUPTED if (folder / CellFile.LAST).exists() else CellStatus.NEW
