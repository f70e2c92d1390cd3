"""The default Hydra sweeper: every arm of the grid is composed and checked before the first one runs.

Hydra imports this module at every start, also for `--help`, so that what takes long is imported in the methods.
"""

import gc
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class GridSweeper(Sweeper):
    """Hydra's side of a sweep; `src.sweep` plans and runs it.

    Args:
        params: a grid written in a config, overrides by key. The plan reads it from each experiment by itself.
        blocks: several of them, of which the sweep is the union; read in the same way.
    """

    def __init__(self, params: Mapping[str, Any] | None, blocks: Sequence[Mapping[str, Any]] | None) -> None:
        pass

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config_name = str(config.hydra.job.config_name)
        self.hydra_overrides = [str(override) for override in config.hydra.overrides.hydra]
        self.runner = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the grid. Ends the process where the configuration is wrong, some cell failed, or it was interrupted."""
        gc.disable()  # importing and planning make a million objects and no garbage, and looking for it takes seconds
        from src import terminal
        from src.command_line import refuse
        from src.files import disk_trouble
        from src.problems import ConfigError
        from src.sweep.claim import SupersededError
        from src.sweep.launcher import CellLauncher
        from src.sweep.plan import plan
        from src.sweep.run import SOME_FAILED, dry_run, run_sweep

        try:
            planned = plan([*self.hydra_overrides, *arguments], self.config_name)
            gc.enable()
            config = planned.cells[0].config
            if isinstance(self.runner, CellLauncher):
                self.runner.prepare([cell.config for cell in planned.cells])
            if config.dry_run:
                dry_run(planned, self._num_slots(config.device))
                return
            exit_code = run_sweep(planned, self._launch)
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

    def _launch(self, jobs: Sequence[Sequence[str]]) -> object:
        return self.runner.launch(jobs, initial_job_idx=0)

    def _num_slots(self, device: str) -> int:
        """How many cells run at a time on the device of this name. Launchers that are not ours do not tell."""
        tell = getattr(self.runner, "num_slots", None)
        return tell(device) if tell else 1
