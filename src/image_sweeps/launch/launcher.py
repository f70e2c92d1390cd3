"""What Hydra launchers of ours have in common: they run cells that are saved in their folders, and compose nothing.

Hydra imports the modules of launchers at every start, also for `--help`, so that what takes long is imported in the
methods.
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
    """A launcher of cells.

    Args:
        options: what its file in `conf/hydra/launcher/` says.

    Attributes:
        elsewhere: whether cells run on other machines, whose devices are not known here.
    """

    elsewhere = False

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take the configuration and check the options. Ends the process on wrong ones (2)."""
        from image_sweeps.config.problems import ConfigError, refuse

        self.config = deepcopy(config)
        try:
            self.check()
        except ConfigError as error:
            refuse(error)

    @abstractmethod
    def check(self) -> None:
        """Look at `options`.

        Raises:
            ConfigError: with all that is wrong with them.
        """

    def prepare(self, configs: "Sequence[Config]") -> None:
        """Look, before anything is written, whether cells with these configurations can be run.

        Raises:
            ConfigError: with all that hinders it.
        """

    def check_search(self) -> None:
        """Look whether it can ask for the next cell when there is room for it.

        Raises:
            ConfigError: where it does not know when there is.
        """

    @abstractmethod
    def num_slots(self, config: "Config") -> int:
        """How many cells with the device, devices and threads of `config` run at a time."""

    @abstractmethod
    def run(self, folders: Iterable[Path], num_cells: int) -> "list[Result]":
        """Run the cells that are saved in `folders`. Returns the outcomes.

        Args:
            folders: of the cells. Of a search, the next one is asked for when there is room for it.
            num_cells: how many these are, as far as is known.

        Raises:
            KeyboardInterrupt: where somebody asked to stop, when all of the cells have.
        """

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Run the cells of these jobs, which are saved in their folders: nothing is composed again.

        Raises:
            KeyboardInterrupt: as `run`.
        """
        folders = [self._folder(overrides) for overrides in job_overrides]
        results = self.run(folders, len(folders))
        overrides = {folder.name: texts for folder, texts in zip(folders, job_overrides, strict=True)}
        return [self._job_return(result, overrides[result.cell]) for result in results]

    def hydra_job(self, folder: Path) -> "HydraJob":
        """Hydra's configuration of a job, for the cell in `folder`."""
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
        """The folder of a cell, which the last of a job's overrides name. Ends the process if no cell is in it (2)."""
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
