"""What Hydra sweepers of ours have in common: all is planned and checked before anything is run.

Hydra imports the modules of sweepers at every start, also for `--help`, so that what takes long is imported in the
methods.
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
    """A sweeper of cells; `P` is what it plans.

    Args:
        options: what its file in `conf/hydra/sweeper/` says. What is planned reads it by itself, from every recipe.
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
        """What these overrides ask for.

        Raises:
            ConfigError: with all that is wrong with them.
        """

    @abstractmethod
    def configs(self, planned: P) -> "Sequence[Config]":
        """Of the cells, as far as they are known. What is read from the first one is the same for all."""

    @abstractmethod
    def show(self, planned: P, num_slots: int) -> None:
        """What `run` would do, so many cells at a time."""

    @abstractmethod
    def run(self, planned: P) -> int:
        """Do it. Returns the exit code."""

    def sweep(self, arguments: list[str]) -> None:
        """Plan and run. Ends the process where the configuration is wrong, some cell failed, or it was interrupted."""
        gc.disable()  # importing and planning make a million objects and no garbage, and looking for it takes seconds
        from image_sweeps.config.schema import for_other_machines
        from image_sweeps.launch.launcher import CellLauncher

        elsewhere = isinstance(self.runner, CellLauncher) and self.runner.elsewhere
        with for_other_machines() if elsewhere else nullcontext():
            exit_code = self._sweep(arguments)
        if exit_code:
            sys.exit(exit_code)

    def _sweep(self, arguments: list[str]) -> int:
        """Plan and run. Returns the exit code."""
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
        """Run these jobs, each given as its overrides, and come back when all of them are over."""
        return self.runner.launch(jobs, initial_job_idx=0)

    def _num_slots(self, config: "Config") -> int:
        """How many cells run at a time. Launchers that are not ours do not tell."""
        tell = getattr(self.runner, "num_slots", None)
        return tell(config) if tell else 1
