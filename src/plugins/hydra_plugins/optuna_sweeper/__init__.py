"""The Hydra sweeper of a search: Optuna proposes trials one by one, and ends those that are not worth going on with.

Hydra imports this module at every start, also for `--help`, so that what takes long is imported in the methods.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from src.sweep.sweeper import CellSweeper

if TYPE_CHECKING:
    from src.config import Config
    from src.search.launcher import Launcher
    from src.search.plan import SearchPlan


class OptunaSweeper(CellSweeper["SearchPlan"]):
    """Hydra's side of a search; `src.search` plans and runs it."""

    def plan(self, overrides: list[str]) -> "SearchPlan":
        from src.search.plan import plan_search
        from src.sweep.launcher import CellLauncher

        planned = plan_search(overrides, self.config_name)
        if isinstance(self.runner, CellLauncher):
            self.runner.check_search()
        return planned

    def configs(self, planned: "SearchPlan") -> "Sequence[Config]":
        return [planned.default.config]

    def show(self, planned: "SearchPlan", num_slots: int) -> None:
        from src.search.run import dry_run

        dry_run(planned, num_slots)

    def run(self, planned: "SearchPlan") -> int:
        from src.search.run import run_search

        return run_search(planned, self._launcher(planned.options.batch_size))

    def _launcher(self, batch_size: int) -> "Launcher":
        """The launcher, if it is one of this project, as it is; others are given some trials at a time."""
        from src.search.launcher import Asking, InBatches
        from src.sweep.launcher import CellLauncher

        if isinstance(self.runner, CellLauncher):
            return Asking(self.launch, self.runner.run)
        return InBatches(self.launch, batch_size)
