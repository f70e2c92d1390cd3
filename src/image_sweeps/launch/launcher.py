"""The base of this project's Hydra launchers: they run cells that are saved in their folders, and compose nothing.

Hydra imports the launcher modules at every start, also for `--help`. Slow imports are therefore inside the methods.
"""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

if TYPE_CHECKING:
    from image_sweeps.cell.result import Result
    from image_sweeps.config.schema import Config
    from image_sweeps.launch.worker import HydraJob


class CellLauncher(Launcher):
    """A Hydra launcher of cells.

    Args:
        options: the options of its file in `conf/hydra/launcher/`.

    Attributes:
        elsewhere: whether cells run on other machines, whose devices are unknown on this one.
    """

    elsewhere = False

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store the configuration and check the options. End the process with exit code 2 if they are wrong."""
        from image_sweeps.config.problems import ConfigError, refuse

        self.config = deepcopy(config)
        try:
            self.check()
        except ConfigError as error:
            refuse(error)

    @abstractmethod
    def check(self) -> None:
        """Check `options`.

        Raises:
            ConfigError: with every problem of the options.
        """

    def prepare(self, configs: "Sequence[Config]") -> None:
        """Check, before anything is written, that cells with these configurations can run.

        Raises:
            ConfigError: with every reason why they cannot run.
        """

    def check_search(self) -> None:
        """Check that the launcher can run a search, which needs to be asked for the next cell when a slot is free.

        Raises:
            ConfigError: if the launcher does not know when a slot is free.
        """

    @abstractmethod
    def num_slots(self, config: "Config") -> int:
        """Return how many cells with the device, devices and threads of `config` run at a time."""

    @abstractmethod
    def run(self, folders: Iterable[Path], num_cells: int) -> "list[Result]":
        """Run the cells saved in `folders` and return their results.

        Args:
            folders: the folders of the cells. In a search, the next one is requested when a slot is free.
            num_cells: the expected number of these cells.

        Raises:
            KeyboardInterrupt: if a stop was requested; raised after all cells have stopped.
        """

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Run the cells of these jobs, which are saved in their folders: nothing is composed again.

        Raises:
            KeyboardInterrupt: as in `run`.
        """
        folders = [self._folder(overrides) for overrides in job_overrides]
        results = self.run(folders, len(folders))
        overrides = {folder.name: texts for folder, texts in zip(folders, job_overrides, strict=True)}
        return [self._job_return(result, overrides[result.cell]) for result in results]

    def hydra_job(self, folder: Path) -> "HydraJob":
        """Return Hydra's settings for the job of the cell in `folder`."""
        from image_sweeps.launch.worker import HydraJob

        hydra = self.config.hydra
        with read_write(hydra), open_dict(hydra):
            hydra.runtime.output_dir = str(folder)
        logging: Any = OmegaConf.to_container(hydra.job_logging, resolve=True)
        return HydraJob(logging, hydra.verbose, {key: str(value) for key, value in hydra.job.env_set.items()})

    def _job_return(self, result: "Result", overrides: Sequence[str]) -> JobReturn:
        status = JobStatus.COMPLETED if result.finished else JobStatus.FAILED
        outcome = result if result.finished else RuntimeError(f"{result.name}: {result.reason}")
        return JobReturn(overrides, task_name=self.config.hydra.job.name, status=status, _return_value=outcome)

    def _folder(self, overrides: Sequence[str]) -> Path:
        """Return the cell folder that a job's last overrides name. End the process (2) if it contains no cell."""
        from image_sweeps.cell.folders import CellFile
        from image_sweeps.config.problems import ConfigError, refuse

        texts = [text for text in overrides if text.startswith("hydra.sweep.")]
        parsed = OverridesParser.create().parse_overrides(texts)
        values = {override.key_or_group: str(override.value()) for override in parsed}
        folder = Path(values.get("hydra.sweep.dir", ""), values.get("hydra.sweep.subdir", ""))
        if not (folder / CellFile.CELL).exists():
            launcher = self.config.hydra.runtime.choices["hydra/launcher"]
            refuse(
                ConfigError(
                    [
                        f"hydra/launcher = {launcher!r}: runs the cells that hydra/sweeper=grid or optuna has planned, "
                        f"and none is in {folder}; hydra/launcher=basic runs those of other sweepers"
                    ]
                )
            )
        return folder
