"""How far a cell of a sweep has come, by what its folder holds."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from image_sweeps.cell.result import Result
from image_sweeps.fit.checkpoint import LAST


class CellStatus(StrEnum):
    """What there is of a cell, in the words in which it is told."""

    FINISHED = "finished"
    PRUNED = "pruned"
    INTERRUPTED = "to continue"
    FAILED = "to retry"
    NEW = "to run"

    @classmethod
    def load(cls, folder: Path) -> "CellStatus":
        """The status of the cell in `folder`. One that failed goes on from its checkpoint too, where it has one."""
        result = Result.load(folder)
        if result is not None and result.over:
            return cls.FINISHED if result.finished else cls.PRUNED
        if result is not None and result.status == "failed":
            return cls.FAILED
        return cls.INTERRUPTED if (folder / LAST).exists() else cls.NEW


def format_counts(statuses: Iterable[CellStatus], noun: str = "cell") -> str:
    """`24 cells: 17 finished, 2 to continue, 1 to retry, 4 to run`."""
    counts = Counter(statuses)
    total = counts.total()
    parts = [f"{counts[status]} {status}" for status in CellStatus if counts[status]]
    return f"{total} {noun}{'s'[: total != 1]}: {', '.join(parts)}"
