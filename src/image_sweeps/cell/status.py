"""The status of a cell."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

RunStatus = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
"""MLflow's status of a run."""


class CellStatus(StrEnum):
    """The status of a cell or of a trial, in the order in which summaries list it."""

    FINISHED = "finished"
    """The cell was trained and tested."""
    PRUNED = "pruned"
    """A search ended the cell early; it was not tested."""
    INTERRUPTED = "interrupted"
    """The cell was asked to stop, or its process is gone; it continues from its checkpoint."""
    FAILED = "failed"
    """The cell ended in an error."""
    RUNNING = "running"
    """A process works on the cell, according to its records."""
    LOST = "lost"
    """The cell finished, but its run is not in the store any more."""
    NEW = "not run"
    """Nothing of the cell has been kept."""

    @property
    def over(self) -> bool:
        """Whether nothing is left to do for the cell."""
        return self in (CellStatus.FINISHED, CellStatus.PRUNED)

    @property
    def run_status(self) -> RunStatus:
        """MLflow's status of the run of such a cell. LOST and NEW have none."""
        return _RUN_STATUS[self]

    @classmethod
    def of_run(cls, run_status: RunStatus, *, pruned: bool) -> "CellStatus":
        """Return the status of a cell from the status of its run in MLflow; `pruned` tells if the run has that tag."""
        ended = (cls.FINISHED, cls.INTERRUPTED, cls.FAILED)
        by_run = {status.run_status: status for status in ended}
        return cls.PRUNED if pruned else by_run.get(run_status, cls.RUNNING)

    @property
    def next_step(self) -> str:
        """The words for what a resumed sweep does with the cell."""
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
    """Return counts like `24 cells: 17 finished, 2 to continue, 1 to retry, 4 to run`."""
    counts = Counter(status.next_step for status in statuses)
    steps = dict.fromkeys(status.next_step for status in CellStatus)
    parts = [f"{counts[step]} {step}" for step in steps if counts[step]]
    return f"{counts.total()} {noun}{'s'[: counts.total() != 1]}: {', '.join(parts)}"
