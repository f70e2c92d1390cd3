"""A Hydra launcher for Ray: every cell is a task of a cluster, or of one on this machine, with a share of a GPU.

Hydra imports this module at every start, also for `--help`, so that what takes long is imported in the methods.
"""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from src.problems import ConfigError
from src.sweep.launcher import CellLauncher

if TYPE_CHECKING:
    from src.config import Config
    from src.sweep.engines.ray.engine import Connection
    from src.sweep.result import Result


class RayLauncher(CellLauncher):
    """Hydra's side of Ray; `src.sweep.engines.ray` hands the cells over."""

    elsewhere = True
    connection: "Connection | None" = None

    def check(self) -> None:
        if find_spec("ray") is None:
            raise ConfigError(["hydra/launcher = 'ray': Ray is not installed; pip install -e '.[ray]' brings it"])
        from src.sweep.engines.ray.options import RayOptions

        raw: Any = OmegaConf.to_container(OmegaConf.create(self.options), resolve=True)
        self.checked = RayOptions.checked(raw)

    def prepare(self, configs: "Sequence[Config]") -> None:
        """Connect to the cluster, and look at its nodes."""
        from src.sweep.engines.ray.engine import Connection

        if self.connection is None:
            self.connection = Connection.to(self.checked, configs)

    def num_slots(self, config: "Config") -> int:
        """As many as the nodes that are there have room for."""
        assert self.connection is not None
        return self.connection.num_slots or 1

    def run(self, folders: Iterable[Path], num_cells: int) -> "list[Result]":
        from src import terminal
        from src.live import board
        from src.sweep.engines.ray.engine import Connection, Ray
        from src.sweep.remote import Remote

        assert self.connection is not None
        if not self.connection.alive:  # and these are retries
            try:
                self.connection = Connection(self.connection.setup)
            except ConfigError as error:
                terminal.show_error("\n".join(error.problems))
                return []
        with board(num_cells) as shown:
            return Remote(Ray(self.connection, shown.note), self.hydra_job, shown).run(folders)
