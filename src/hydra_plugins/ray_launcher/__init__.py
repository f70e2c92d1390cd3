"""A Hydra launcher for Ray: every cell is a task of an existing cluster or a local one, and may share a GPU.

Hydra imports this module at every start, also for `--help`. Slow imports are therefore inside the methods.
"""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from image_sweeps.config.problems import ConfigError
from image_sweeps.launch.launcher import CellLauncher

if TYPE_CHECKING:
    from image_sweeps.cell.result import Result
    from image_sweeps.config.schema import Config
    from image_sweeps.launch.ray.engine import Connection


class RayLauncher(CellLauncher):
    """The Hydra interface of Ray; `image_sweeps.launch.ray` submits the cells."""

    elsewhere = True
    connection: "Connection | None" = None

    def check(self) -> None:
        if find_spec("ray") is None:
            raise ConfigError(["hydra/launcher = 'ray': Ray is not installed; pip install -e '.[ray]' brings it"])
        from image_sweeps.launch.ray.options import RayOptions

        raw: Any = OmegaConf.to_container(OmegaConf.create(self.options), resolve=True)
        self.checked = RayOptions.checked(raw)

    def prepare(self, configs: "Sequence[Config]") -> None:
        """Connect to the cluster and check its nodes."""
        from image_sweeps.launch.ray.engine import Connection

        if self.connection is None:
            self.connection = Connection.to(self.checked, configs)

    def num_slots(self, config: "Config") -> int:
        """Return how many cells fit on the present nodes, at least 1."""
        assert self.connection is not None
        return self.connection.num_slots or 1

    def run(self, folders: Iterable[Path], num_cells: int) -> "list[Result]":
        from image_sweeps.launch.board import board
        from image_sweeps.launch.ray.engine import Connection, Ray
        from image_sweeps.launch.remote import Remote
        from image_sweeps.system.console import show_error

        assert self.connection is not None
        if not self.connection.alive:  # the driver was lost, and these cells are retries
            try:
                self.connection = Connection(self.connection.setup)
            except ConfigError as error:
                show_error("\n".join(error.problems))
                return []
        with board(num_cells) as shown:
            return Remote(Ray(self.connection, shown.on_notice), self.hydra_job, shown).run(folders)
