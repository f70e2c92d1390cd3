"""What a cell leaves for the sweep: a small file in its own folder, written by the cell itself."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from src.files import write_text

RESULT_FILE = "result.json"


@dataclass(frozen=True)
class Result:
    """A cell's outcome. The numbers of a cell that failed are not there.

    Attributes:
        reason: why it failed, else None.
        run_id: MLflow's.
        seconds: of training and validation, all epochs.
    """

    cell: str
    name: str
    reason: str | None
    run_id: str | None = None
    best_epoch: int = 0
    val_loss: float = float("nan")
    val_accuracy: float = float("nan")
    test_accuracy: float = float("nan")
    test_accuracy_low: float = float("nan")
    test_accuracy_high: float = float("nan")
    num_parameters: int = 0
    seconds: float = float("nan")

    @property
    def finished(self) -> bool:
        return self.reason is None

    def save(self, folder: Path) -> None:
        write_text(folder / RESULT_FILE, json.dumps(asdict(self), indent=2))

    @classmethod
    def of(cls, folder: Path) -> Self | None:
        """What the cell of `folder` left, or None where it left nothing."""
        path = folder / RESULT_FILE
        return cls(**json.loads(path.read_text())) if path.exists() else None
