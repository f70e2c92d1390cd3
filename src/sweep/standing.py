"""How far a cell of a sweep has come, by what its folder holds."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from src.fit.checkpoint import LAST
from src.sweep.result import Result


class Standing(StrEnum):
    """What there is of a cell, in the words in which it is told."""

    FINISHED = "finished"
    PRUNED = "pruned"
    INTERRUPTED = "to continue"
    FAILED = "to retry"
    NEW = "to run"

    @classmethod
    def of(cls, folder: Path) -> "Standing":
        """The standing of the cell in `folder`. One that failed goes on from its checkpoint too, where it has one."""
        result = Result.of(folder)
        if result is not None and result.over:
            return cls.FINISHED if result.finished else cls.PRUNED
        if result is not None and result.status == "failed":
            return cls.FAILED
        return cls.INTERRUPTED if (folder / LAST).exists() else cls.NEW


def in_words(standings: Iterable[Standing], noun: str = "cell") -> str:
    """`24 cells: 17 finished, 2 to continue, 1 to retry, 4 to run`."""
    counts = Counter(standings)
    total = counts.total()
    parts = [f"{counts[standing]} {standing}" for standing in Standing if counts[standing]]
    return f"{total} {noun}{'s'[: total != 1]}: {', '.join(parts)}"
