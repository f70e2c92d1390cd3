"""A cell in the process where Hydra runs it: a single cell, or a sweep's cell under a launcher of another project."""

import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from image_sweeps.cell.cell import Cell
from image_sweeps.cell.failure_policy import FailurePolicy
from image_sweeps.cell.result import Result
from image_sweeps.cell.status import CellStatus
from image_sweeps.config.composition import Composed
from image_sweeps.config.problems import ConfigError, refuse
from image_sweeps.config.schema import Config
from image_sweeps.fit.device import limit_threads
from image_sweeps.launch.attempt import run_attempt
from image_sweeps.launch.terminal import cell_progress
from image_sweeps.sweep.terminal import show_results
from image_sweeps.system.console import show_error
from image_sweeps.system.interrupt import Interrupt
from image_sweeps.system.torchrun import TorchrunEnv
from image_sweeps.tracking.pending import show_kept
from image_sweeps.tracking.store import open_store_or_refuse
from image_sweeps.tracking.view import show_runs


def run_job(cfg: DictConfig) -> None:
    """Train either a cell of a sweep, which the sweeper has saved in the folder, or a single cell.

    Raises:
        KeyboardInterrupt: if a cell of a sweep was interrupted, so that the launcher starts no other cell.
    """
    hydra_cfg = HydraConfig.get()
    folder = Path(hydra_cfg.runtime.output_dir)
    planned = Cell.load(folder) if hydra_cfg.mode == RunMode.MULTIRUN else None
    with Interrupt.on_signals() as interrupt, cell_progress(interrupt) as listener:
        if planned is not None:
            _limit_threads(planned.config)
            if _ends_launch(planned, folder):
                return
            if run_attempt(planned, folder, listener).status is CellStatus.INTERRUPTED:
                raise KeyboardInterrupt
            return
        composed = Composed.of(cfg, hydra_cfg.runtime.choices)
        source = composed.config.dataset.build(composed.config.data_dir)
        single = Cell.of(composed, hydra_cfg.overrides.task, source.fingerprint)
        _require_store(single)
        _limit_threads(single.config)
        result = run_attempt(single, folder, listener)
    if result.status is CellStatus.INTERRUPTED:
        show_error(f"{single.name} was {result.reason}; what it had learned is in {folder}")
        sys.exit(interrupt.exit_code)
    if not result.finished:
        sys.exit(1)
    show_results([result])
    if not show_kept(folder, single.config):
        show_runs(single.config, sweep=None)


def _require_store(cell: Cell) -> None:
    """End the process with exit code 2, before anything is trained, if the cell's store cannot be opened."""
    try:
        open_store_or_refuse(cell.config)
    except ConfigError as error:
        refuse(error)


def _limit_threads(config: Config) -> None:
    """Use as many threads as the cell would have in the pool, so that the numbers are the same to the last bit."""
    limit_threads(config.threads if TorchrunEnv.load() else config.threads * config.devices)


def _ends_launch(cell: Cell, folder: Path) -> bool:
    """Return whether no other cell of the sweep may start: launchers of other projects do not know that."""
    results = (result for other in folder.parent.iterdir() if (result := Result.load(other)))
    return FailurePolicy.of(cell.config).ends_launch(results)
