"""The default Hydra launcher: every cell in a process of its own, as many at a time as the machine has slots for.

Hydra imports this module at every start, also for `--help`, so that what takes long is imported in the methods.
"""

import importlib
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

if TYPE_CHECKING:
    from src.sweep.result import Result
    from src.sweep.worker import HydraJob


class PoolLauncher(Launcher):
    """Hydra's side of the pool; `src.sweep.pool` runs the cells.

    Args:
        options: what `conf/hydra/launcher/pool.yaml` says.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Start the fork server, which gets ready while the sweep is planned. Ends the process on wrong options (2)."""
        from src.sweep import server

        if not config.dry_run:
            server.start()
        from src.command_line import refuse
        from src.problems import ConfigError
        from src.sweep.slots import PoolOptions

        self.config = deepcopy(config)
        try:
            self.checked = PoolOptions.checked(self.options)
        except ConfigError as error:
            refuse(error)

    def num_slots(self, device: str, devices: int) -> int:
        """How many cells run at a time, where the configuration asks for so many `devices` of the kind `device`."""
        from src.sweep.slots import slots

        return len(slots(self.checked, device, devices))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Run the cells of these jobs, which are frozen in their folders: nothing is composed again.

        Raises:
            KeyboardInterrupt: where somebody asked to stop, when all of the cells have.
        """
        from src.live import board
        from src.sweep.cell import Cell
        from src.sweep.pool import Pool
        from src.sweep.slots import slots

        folders = [_folder(overrides) for overrides in job_overrides]
        first = Cell.thaw(folders[0])
        assert first is not None
        with board(len(folders)) as shown:
            places = slots(self.checked, first.config.device, first.config.devices)
            pool = Pool(places, self._hydra_job, shown, when_idle=_prepare_report)
            results = pool.run(folders)
        overrides = {folder.name: texts for folder, texts in zip(folders, job_overrides, strict=True)}
        return [self._job_return(result, overrides[result.cell]) for result in results]

    def _hydra_job(self, folder: Path) -> "HydraJob":
        """Hydra's configuration of a job, for the cell in `folder`."""
        from src.sweep.worker import HydraJob

        hydra = self.config.hydra
        with read_write(hydra), open_dict(hydra):
            hydra.runtime.output_dir = str(folder)
        logging: Any = OmegaConf.to_container(hydra.job_logging, resolve=True)
        return HydraJob(logging, hydra.verbose, {key: str(value) for key, value in hydra.job.env_set.items()})

    def _job_return(self, result: "Result", overrides: Sequence[str]) -> JobReturn:
        status = JobStatus.COMPLETED if result.finished else JobStatus.FAILED
        outcome = result if result.finished else RuntimeError(f"{result.name}: {result.reason}")
        return JobReturn(overrides, task_name=self.config.hydra.job.name, status=status, _return_value=outcome)


def _prepare_report() -> None:
    """Import what the sweep is summed up with, a second's worth."""
    importlib.import_module("src.tracking.publish")


def _folder(overrides: Sequence[str]) -> Path:
    """The folder of a cell, which the last of a job's overrides name. Ends the process if no cell is in it (2)."""
    from src.command_line import refuse
    from src.problems import ConfigError
    from src.sweep.cell import PLAN_FILE

    parsed = OverridesParser.create().parse_overrides([text for text in overrides if text.startswith("hydra.sweep.")])
    values = {override.key_or_group: str(override.value()) for override in parsed}
    folder = Path(values.get("hydra.sweep.dir", ""), values.get("hydra.sweep.subdir", ""))
    if not (folder / PLAN_FILE).exists():
        refuse(
            ConfigError(
                [
                    "hydra/launcher = 'pool': runs the cells that hydra/sweeper=grid has planned, and none is in "
                    f"{folder}; hydra/launcher=basic runs those of other sweepers"
                ]
            )
        )
    return folder
