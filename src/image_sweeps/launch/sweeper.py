"""The base of this project's Hydra sweepers: everything is planned and checked before anything runs.

Hydra imports the sweeper modules at every start, also for `--help`. Slow imports are therefore inside the methods.
"""

import gc
import sys
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from image_sweeps.config.schema import Config

P = TypeVar("P")


class CellSweeper(Sweeper, Generic[P]):
    """A Hydra sweeper of cells; `P` is the type of its plan.

    Args:
        options: the options of its file in `conf/hydra/sweeper/`. They are ignored here, because the planning functions
            read them by themselves, for every recipe (`experiment=...`).
    """

    def __init__(self, **options: Any) -> None:
        pass

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config_name = str(config.hydra.job.config_name)
        self.hydra_overrides = [str(override) for override in config.hydra.overrides.hydra]
        self.runner = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    @abstractmethod
    def plan(self, overrides: list[str]) -> P:
        """Return the plan for these overrides.

        Raises:
            ConfigError: with every problem of the overrides.
        """

    @abstractmethod
    def configs(self, planned: P) -> "Sequence[Config]":
        """Return the configurations of the planned cells; a search knows only the first one before it runs."""

    @abstractmethod
    def show(self, planned: P, num_slots: int) -> None:
        """Show what `run` would do with `num_slots` cells at a time."""

    @abstractmethod
    def run(self, planned: P) -> int:
        """Run the plan and return the exit code."""

    def sweep(self, arguments: list[str]) -> None:
        """Plan and run. End the process if the configuration is wrong, a cell failed, or the sweep was interrupted."""
        gc.disable()  # importing and planning create a million objects and no garbage; looking for it takes seconds
        from image_sweeps.config.schema import for_other_machines
        from image_sweeps.launch.launcher import CellLauncher

        elsewhere = isinstance(self.runner, CellLauncher) and self.runner.elsewhere
        with for_other_machines() if elsewhere else nullcontext():
            exit_code = self._sweep(arguments)
        if exit_code:
            sys.exit(exit_code)

    def _sweep(self, arguments: list[str]) -> int:
        """Plan and run the sweep, and return the exit code."""
        from image_sweeps.cell.claim import SupersededError
        from image_sweeps.config.problems import ConfigError, refuse
        from image_sweeps.launch.launcher import CellLauncher
        from image_sweeps.sweep.run import SOME_FAILED
        from image_sweeps.system.console import show_error
        from image_sweeps.system.files import disk_trouble

        try:
            planned = self.plan([*self.hydra_overrides, *arguments])
            gc.enable()
            configs = self.configs(planned)
            if isinstance(self.runner, CellLauncher):
                self.runner.prepare(configs)
            if configs[0].dry_run:
                self.show(planned, self._num_slots(configs[0]))
                return 0
            return self.run(planned)
        except ConfigError as error:
            refuse(error)
        except SupersededError as stop:
            show_error(str(stop))
        except OSError as error:
            if (trouble := disk_trouble(error, configs[0].outputs_dir)) is None:
                raise
            show_error(str(trouble))
        return SOME_FAILED

    def launch(self, jobs: Sequence[Sequence[str]]) -> object:
        """Run these jobs, each given as its list of overrides, and return after all of them have ended."""
        return self.runner.launch(jobs, initial_job_idx=0)

    def _num_slots(self, config: "Config") -> int:
        """Return how many cells run at a time; 1 for a launcher of another project, which does not report it."""
        tell = getattr(self.runner, "num_slots", None)
        return tell(config) if tell else 1
