"""What has become of a cell."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

RunStatus = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
"""MLflow's status of a run."""


class CellStatus(StrEnum):
    """What has become of a cell, or of a search's trial, in the order in which it is told."""

    FINISHED = "finished"
    """It was trained and tested."""
    PRUNED = "pruned"
    """A search gave it up; it was not tested."""
    INTERRUPTED = "interrupted"
    """It was asked to stop, or its process has gone; it goes on from its checkpoint."""
    FAILED = "failed"
    """It ended in an error."""
    RUNNING = "running"
    """A process is at work on it, as far as its records tell."""
    LOST = "lost"
    """It finished, and its results are gone."""
    NEW = "not run"
    """Nothing of it has been kept."""

    @property
    def over(self) -> bool:
        """Whether nothing is left to be done."""
        return self in (CellStatus.FINISHED, CellStatus.PRUNED)

    @property
    def run_status(self) -> RunStatus:
        """MLflow's status of the run of such a cell, which has one."""
        return _RUN_STATUS[self]

    @classmethod
    def of_run(cls, run_status: RunStatus, *, pruned: bool) -> "CellStatus":
        """The status of a cell by that of its run in MLflow, and whether the run has the tag of a pruned one."""
        ended = (cls.FINISHED, cls.INTERRUPTED, cls.FAILED)
        by_run = {status.run_status: status for status in ended}
        return cls.PRUNED if pruned else by_run.get(run_status, cls.RUNNING)

    @property
    def next_step(self) -> str:
        """What a sweep that is resumed does with the cell."""
        steps = {CellStatus.INTERRUPTED: "to continue", CellStatus.FAILED: "to retry"}
        return str(self) if self.over else steps.get(self, "to run")


_RUN_STATUS: dict[CellStatus, RunStatus] = {
    CellStatus.FINISHED: "FINISHED",
    CellStatus.PRUNED: "KILLED",
    CellStatus.INTERRUPTED: "KILLED",
    CellStatus.FAILED: "FAILED",
    CellStatus.RUNNING: "RUNNING",
}


def format_counts(statuses: Iterable[CellStatus], noun: str = "cell") -> str:
    """`24 cells: 17 finished, 2 to continue, 1 to retry, 4 to run`."""
    counts = Counter(status.next_step for status in statuses)
    steps = dict.fromkeys(status.next_step for status in CellStatus)
    parts = [f"{counts[step]} {step}" for step in steps if counts[step]]
    return f"{counts.total()} {noun}{'s'[: counts.total() != 1]}: {', '.join(parts)}"
