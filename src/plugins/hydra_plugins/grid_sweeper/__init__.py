"""The default Hydra sweeper: every arm of the grid is composed and checked before the first one runs.

Hydra imports this module at every start, also for `--help`, so that what takes long is imported in the methods.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from src.sweep.sweeper import CellSweeper

if TYPE_CHECKING:
    from src.config import Config
    from src.sweep.plan import Plan


class GridSweeper(CellSweeper["Plan"]):
    """Hydra's side of a sweep; `src.sweep` plans and runs it."""

    def plan(self, overrides: list[str]) -> "Plan":
        from src.sweep.plan import plan

        return plan(overrides, self.config_name)

    def configs(self, planned: "Plan") -> "Sequence[Config]":
        return [cell.config for cell in planned.cells]

    def show(self, planned: "Plan", num_slots: int) -> None:
        from src.sweep.run import dry_run

        dry_run(planned, num_slots)

    def run(self, planned: "Plan") -> int:
        from src.sweep.run import run_sweep

        return run_sweep(planned, self.launch)
