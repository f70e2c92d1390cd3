"""The Hydra sweeper of a search: Optuna proposes trials one by one, and ends those that are not worth going on with.

Hydra imports this module at every start, also for `--help`, so that what takes long is imported in the methods.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from src.search.launcher import Launcher


class OptunaSweeper(Sweeper):
    """Hydra's side of a search; `src.search` plans and runs it.

    Args:
        options: what `conf/hydra/sweeper/optuna.yaml` says. The search reads it by itself, with what a recipe says.
    """

    def __init__(self, **options: Any) -> None:
        pass

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config_name = str(config.hydra.job.config_name)
        self.hydra_overrides = [str(override) for override in config.hydra.overrides.hydra]
        self.runner = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the search. Ends the process where the configuration is wrong, a cell failed, or it was interrupted."""
        from src import terminal
        from src.command_line import refuse
        from src.files import disk_trouble
        from src.problems import ConfigError
        from src.search.plan import plan_search
        from src.search.run import dry_run, run_search
        from src.sweep.claim import SupersededError
        from src.sweep.launcher import CellLauncher
        from src.sweep.run import SOME_FAILED

        try:
            planned = plan_search([*self.hydra_overrides, *arguments], self.config_name)
            config = planned.default.config
            if isinstance(self.runner, CellLauncher):
                self.runner.prepare([config])
            if config.dry_run:
                dry_run(planned, self._num_slots(config.device))
                return
            exit_code = run_search(planned, self._launcher(planned.options.batch_size))
        except ConfigError as error:
            refuse(error)
        except SupersededError as stop:
            terminal.show_error(str(stop))
            exit_code = SOME_FAILED
        except OSError as error:
            if (trouble := disk_trouble(error, config.outputs_dir)) is None:
                raise
            terminal.show_error(str(trouble))
            exit_code = SOME_FAILED
        if exit_code:
            sys.exit(exit_code)

    def _launcher(self, batch_size: int) -> "Launcher":
        """The launcher, if it is one of this project, as it is; others are given some trials at a time."""
        from src.search.launcher import Asking, InBatches
        from src.sweep.launcher import CellLauncher

        if isinstance(self.runner, CellLauncher):
            return Asking(self._launch, self.runner.run)
        return InBatches(self._launch, batch_size)

    def _launch(self, jobs: Sequence[Sequence[str]]) -> object:
        return self.runner.launch(jobs, initial_job_idx=0)

    def _num_slots(self, device: str) -> int:
        """How many cells run at a time on the device of this name. Launchers that are not ours do not tell."""
        tell = getattr(self.runner, "num_slots", None)
        return tell(device) if tell else 1
