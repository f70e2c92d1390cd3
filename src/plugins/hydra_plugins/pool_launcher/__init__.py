"""The default Hydra launcher: every cell in a process of its own, as many at a time as the machine has slots for.

Hydra imports this module at every start, also for `--help`, so that what takes long is imported in the methods.
"""

import importlib
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from src.sweep.launcher import CellLauncher

if TYPE_CHECKING:
    from src.config import Config
    from src.sweep.result import Result


class PoolLauncher(CellLauncher):
    """Hydra's side of the pool; `src.sweep.pool` runs the cells."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Start the fork server, which gets ready while the sweep is planned. Ends the process on wrong options (2)."""
        from src.sweep import server

        if not config.dry_run:
            server.start()
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def check(self) -> None:
        from src.sweep.slots import PoolOptions

        self.checked = PoolOptions.checked(self.options)

    def num_slots(self, config: "Config") -> int:
        from src.sweep.slots import slots

        return len(slots(self.checked, config.device, config.devices, config.threads))

    def run(self, folders: Iterable[Path], num_cells: int) -> "list[Result]":
        from src.live import board
        from src.sweep.cell import Cell
        from src.sweep.pool import Pool
        from src.sweep.slots import slots

        coming = iter(folders)
        if (folder := next(coming, None)) is None:
            return []
        first = Cell.thaw(folder)
        assert first is not None
        config = first.config
        places = slots(self.checked, config.device, config.devices, config.threads)
        with board(num_cells) as shown:
            pool = Pool(places, self.hydra_job, shown, when_idle=prepare_report)
            return pool.run(itertools.chain([folder], coming))


def prepare_report() -> None:
    """Import what the sweep is summed up with, a second's worth."""
    importlib.import_module("src.tracking.publish")
