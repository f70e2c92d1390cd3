"""The default Hydra sweeper: every arm of the grid is composed and checked before the first one runs.

Hydra imports this module at every start, also for `--help`. Slow imports are therefore inside the methods.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from image_sweeps.launch.sweeper import CellSweeper

if TYPE_CHECKING:
    from image_sweeps.config.schema import Config
    from image_sweeps.sweep.plan import Plan


class GridSweeper(CellSweeper["Plan"]):
    """The Hydra interface of a sweep; `image_sweeps.sweep` plans and runs it."""

    def plan(self, overrides: list[str]) -> "Plan":
        from image_sweeps.sweep.plan import plan

        return plan(overrides, self.config_name)

    def configs(self, planned: "Plan") -> "Sequence[Config]":
        return [cell.config for cell in planned.cells]

    def show(self, planned: "Plan", num_slots: int) -> None:
        from image_sweeps.sweep.run import dry_run

        dry_run(planned, num_slots)

    def run(self, planned: "Plan") -> int:
        from image_sweeps.sweep.run import run_sweep

        return run_sweep(planned, self.launch)
