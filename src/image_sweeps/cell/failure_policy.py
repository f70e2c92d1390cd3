"""The policy for failed cells and their sweep, from the keys `retries` and `on_failure` of the configuration."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from image_sweeps.cell.result import Result
from image_sweeps.cell.status import CellStatus
from image_sweeps.config.schema import Config


@dataclass(frozen=True)
class FailurePolicy:
    """The policy that says how often a cell is tried, and whether a failed cell ends its sweep.

    Attributes:
        retries: the number of attempts that a cell gets after its first one.
        stop: whether a failure ends the sweep.
    """

    retries: int
    stop: bool

    @classmethod
    def of(cls, config: Config) -> Self:
        """Return the policy of the sweep that a cell with this configuration belongs to."""
        return cls(config.retries, config.on_failure == "stop")

    def may_retry(self, result: Result, num_attempts: int) -> bool:
        """Return whether the cell of `result` gets another attempt after `num_attempts` attempts."""
        return not result.over and num_attempts <= self.retries

    def is_final(self, result: Result, num_attempts: int) -> bool:
        """Return whether the cell of `result` is not over, and gets no other attempt."""
        return not result.over and num_attempts > self.retries

    def ends_launch(self, results: Iterable[Result]) -> bool:
        """Return whether a launcher starts no more cells after these results. Retries are launched by the sweep."""
        return self.stop and any(result.status is CellStatus.FAILED for result in results)

    def ends_sweep(self, results: Iterable[Result], num_attempts: Mapping[str, int]) -> bool:
        """Return whether the sweep ends because a cell has no attempt left; `num_attempts` is by the ids of cells."""
        return self.stop and any(self.is_final(result, num_attempts[result.cell]) for result in results)
