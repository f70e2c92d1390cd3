"""The Hydra sweeper of a search: Optuna proposes trials one by one, and prunes those that are not worth continuing.

Hydra imports this module at every start, also for `--help`. Slow imports are therefore inside the methods.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from image_sweeps.launch.sweeper import CellSweeper

if TYPE_CHECKING:
    from image_sweeps.config.schema import Config
    from image_sweeps.search.launcher import Launcher
    from image_sweeps.search.plan import SearchPlan


class OptunaSweeper(CellSweeper["SearchPlan"]):
    """The Hydra interface of a search; `image_sweeps.search` plans and runs it."""

    def plan(self, overrides: list[str]) -> "SearchPlan":
        from image_sweeps.launch.launcher import CellLauncher
        from image_sweeps.search.plan import plan_search

        planned = plan_search(overrides, self.config_name)
        if isinstance(self.runner, CellLauncher):
            self.runner.check_search()
        return planned

    def configs(self, planned: "SearchPlan") -> "Sequence[Config]":
        return [planned.default.config]

    def show(self, planned: "SearchPlan", num_slots: int) -> None:
        from image_sweeps.search.run import dry_run

        dry_run(planned, num_slots)

    def run(self, planned: "SearchPlan") -> int:
        from image_sweeps.search.run import run_search

        return run_search(planned, self._launcher(planned.options.batch_size))

    def _launcher(self, batch_size: int) -> "Launcher":
        """Return an adapter of the launcher: one of this project requests single trials, another gets batches."""
        from image_sweeps.launch.launcher import CellLauncher
        from image_sweeps.search.launcher import Launcher, in_batches

        if isinstance(self.runner, CellLauncher):
            return Launcher(self.launch, self.runner.run)
        return Launcher(self.launch, in_batches(self.launch, batch_size))
