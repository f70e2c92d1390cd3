"""A Hydra launcher for clusters: the cells of a sweep are the tasks of a SLURM job array.

Hydra imports this module at every start, also for `--help`. Slow imports are therefore inside the methods.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from image_sweeps.config.problems import ConfigError
from image_sweeps.launch.launcher import CellLauncher

if TYPE_CHECKING:
    from image_sweeps.cell.result import Result
    from image_sweeps.config.schema import Config


class SlurmLauncher(CellLauncher):
    """The Hydra interface of SLURM; `image_sweeps.launch.slurm` submits the cells."""

    elsewhere = True

    def check(self) -> None:
        """Check the options, and ask SLURM, which knows its partitions and the resources of their nodes."""
        from image_sweeps.launch.slurm import queue
        from image_sweeps.launch.slurm.engine import Slurm
        from image_sweeps.launch.slurm.options import SlurmOptions

        options = SlurmOptions.checked(self.options)
        queue.check(options.flags)
        self.engine = Slurm(options)  # one for all attempts: it remembers which cells it has submitted

    def check_search(self) -> None:
        if self.engine.num_slots is None:
            raise ConfigError(
                [
                    "hydra.launcher.array_parallelism = None: hydra/sweeper=optuna needs to know how many trials may "
                    "run at a time, as each is chosen by those before it: try hydra.launcher.array_parallelism=8"
                ]
            )

    def num_slots(self, config: "Config") -> int:
        """Return `array_parallelism`, or 1 if it is not set: SLURM then runs as many cells as it has room for."""
        return self.engine.num_slots or 1

    def run(self, folders: Iterable[Path], num_cells: int) -> "list[Result]":
        from image_sweeps.launch.board import board
        from image_sweeps.launch.remote import Remote
        from image_sweeps.launch.slurm.queue import SlurmError
        from image_sweeps.system.console import show_error

        with board(num_cells) as shown:
            remote = Remote(self.engine, self.hydra_job, shown, latency_s=self.engine.options.latency_s)
            try:
                return remote.run(folders)
            except SlurmError as error:
                show_error(f"SLURM did not take the cells: {error}")
                return remote.results
