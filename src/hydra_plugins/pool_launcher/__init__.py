"""The default Hydra launcher: every cell runs in its own process, one cell per slot of the machine.

Hydra imports this module at every start, also for `--help`. Slow imports are therefore inside the methods.
"""

import importlib
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from image_sweeps.launch.launcher import CellLauncher

if TYPE_CHECKING:
    from image_sweeps.cell.result import Result
    from image_sweeps.config.schema import Config


class PoolLauncher(CellLauncher):
    """The Hydra interface of the pool; `image_sweeps.launch.pool` runs the cells."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Start the fork server, which imports while the sweep is planned. End the process (2) on wrong options."""
        from image_sweeps.launch import fork_server

        if not config.dry_run:
            fork_server.start()
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def check(self) -> None:
        from image_sweeps.launch.slots import PoolOptions

        self.checked = PoolOptions.checked(self.options)

    def num_slots(self, config: "Config") -> int:
        from image_sweeps.launch.slots import slots

        return len(slots(self.checked, config.device, config.devices, config.threads))

    def run(self, folders: Iterable[Path], num_cells: int) -> "list[Result]":
        from image_sweeps.cell.cell import Cell
        from image_sweeps.launch.board import board
        from image_sweeps.launch.pool import Pool
        from image_sweeps.launch.slots import slots

        coming = iter(folders)
        if (folder := next(coming, None)) is None:
            return []
        first = Cell.load(folder)
        assert first is not None
        config = first.config
        places = slots(self.checked, config.device, config.devices, config.threads)
        with board(num_cells) as shown:
            pool = Pool(places, self.hydra_job, shown, when_idle=prepare_report)
            return pool.run(itertools.chain([folder], coming))


def prepare_report() -> None:
    """Import the module that reports the sweep, which takes a second."""
    importlib.import_module("image_sweeps.report.publish")
