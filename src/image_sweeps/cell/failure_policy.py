"""What a failed cell means for itself and for the others: the keys `retries` and `on_failure` of the configuration."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from image_sweeps.cell.result import Result
from image_sweeps.cell.status import CellStatus
from image_sweeps.config.schema import Config


@dataclass(frozen=True)
class FailurePolicy:
    """How often a cell is tried, and whether one that failed ends its sweep.

    Attributes:
        retries: how many attempts a cell gets after its first one.
        stop: whether a failure ends the sweep.
    """

    retries: int
    stop: bool

    @classmethod
    def of(cls, config: Config) -> Self:
        """The policy of the sweep that a cell with this configuration belongs to."""
        return cls(config.retries, config.on_failure == "stop")

    def may_retry(self, result: Result, num_attempts: int) -> bool:
        """Whether the cell of `result` gets another attempt after the `num_attempts` that it has had."""
        return not result.over and num_attempts <= self.retries

    def ends_launch(self, results: Iterable[Result]) -> bool:
        """Whether a launcher starts no other cell after these outcomes. The sweep launches what is to be retried."""
        return self.stop and any(result.status is CellStatus.FAILED for result in results)

    def ends_sweep(self, results: Iterable[Result], num_attempts: Mapping[str, int]) -> bool:
        """Whether a cell has no attempt left, and the sweep ends with it; `num_attempts` are by the ids of cells."""
        return self.stop and any(
            not result.over and not self.may_retry(result, num_attempts[result.cell]) for result in results
        )
