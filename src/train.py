"""Train one cell, or with `-m` a sweep of them.

    python -m src.train model=cnn_batch
    python -m src.train -m model=cnn,cnn_batch seed=0,1,2

Exit codes: 0 all cells finished; 1 some cell failed, the others still ran; 2 the configuration was wrong and nothing
ran.

What takes long to import (torch, mlflow) is imported where it is needed, so that `--help` and `--cfg job` answer at
once.
"""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from src import terminal
from src.command_line import checked_arguments
from src.compose import CONF, Composed

if TYPE_CHECKING:
    from src.fit.epoch import Epoch
    from src.fit.loop import Training
    from src.sweep.cell import Cell
    from src.sweep.result import Result
    from src.tracking.run import Run

log = logging.getLogger(__name__)

BEST = "best.pt"


def train(cell: "Cell", folder: Path) -> "Result":
    """Train the cell and record it, from the data to the verdict of the test split.

    Args:
        cell: what to train.
        folder: the cell's own; its checkpoints, log and result are written there.

    Raises:
        DataError: where the data set cannot be read or split.
        WeightsError: where weights to begin with cannot be had.
        NonFiniteLossError: where training diverged.
        NonFiniteOutputError: where the network's outputs did, after training.
    """
    import numpy as np
    from torch import nn

    from src.dataset import load
    from src.fit import checkpoint, device
    from src.fit.batches import Normalize
    from src.fit.evaluate import evaluate
    from src.fit.loop import Training, predict
    from src.model import build, portable, summary
    from src.sweep.result import Result
    from src.tracking.run import open_run
    from src.tracking.store import open_store

    config = cell.config
    device.make_repeatable(config)
    place = device.choose(config.device)
    with open_run(open_store(config), cell, folder) as run:
        source = config.dataset.build(config.data_dir)
        splits = load(source, config.outputs_dir / "cache")
        normalize = Normalize(splits.mean, splits.std).to(place)
        model = build(config, source.shape, len(source.class_names), place)
        training = Training(model, splits.train.to(place), splits.val.to(place), normalize, config)
        terminal.show_cell(cell, source, splits, place)
        run.log_setup(source, splits, summary.layers(model, source.shape), place)
        run.log_batch(*training.first_batch(), source.class_names)

        statistics = {"mean": list(splits.mean), "std": list(splits.std)}
        facts = {"cell": cell.id, "config": cell.raw, "classes": list(source.class_names), **statistics}
        history, best = _fit(training, run, facts)

        model.load_state_dict(checkpoint.load(folder / BEST)["model"])
        test = splits.test.to(place)
        evaluation = evaluate(predict(model, test, normalize, config), test.labels)
        run.log_checkpoint(folder / BEST)
        run.log_result(history, best, evaluation, source.class_names, splits.test)
        run.log_model(portable(nn.Sequential(normalize, model)), np.zeros((2, *source.shape), dtype=np.float32))
        return Result(
            cell=cell.id,
            name=cell.name,
            reason=None,
            run_id=run.id,
            best_epoch=best.number,
            val_loss=best.val_loss,
            val_accuracy=best.val_accuracy,
            test_accuracy=evaluation.accuracy,
            test_accuracy_low=evaluation.accuracy_low,
            test_accuracy_high=evaluation.accuracy_high,
            num_parameters=summary.num_parameters(model),
            seconds=sum(epoch.epoch_s for epoch in history),
        )


def _fit(training: "Training", run: "Run", facts: dict[str, Any]) -> tuple[list["Epoch"], "Epoch"]:
    """Train to the last epoch, or until none is better; the best one's weights are kept, with `facts`, in `BEST`.

    Returns: all epochs, and the best.
    """
    from src.fit import checkpoint
    from src.fit.early_stopping import BestEpoch

    history, watch = [], BestEpoch(training.config.early_stopping)
    with terminal.epoch_lines(training.config.epochs) as lines:
        for epoch in training.epochs():
            history.append(epoch)
            if watch.improves(epoch):
                measured = {"epoch": epoch.number, "val_loss": epoch.val_loss, "val_accuracy": epoch.val_accuracy}
                checkpoint.save(run.folder / BEST, training.model, {**facts, **measured})
            run.log_epoch(epoch)
            lines.show(epoch, training.config.epochs)
            log.info(epoch)
            if watch.exhausted:
                break
    assert watch.best is not None
    return history, watch.best


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def job(cfg: DictConfig) -> None:
    """One cell, as Hydra runs it: a sweep's, which the sweeper has frozen into the folder, or a single one."""
    from src.sweep.cell import Cell

    hydra_cfg = HydraConfig.get()
    folder = Path(hydra_cfg.runtime.output_dir)
    cell = Cell.thaw(folder) if hydra_cfg.mode == RunMode.MULTIRUN else None
    if cell is not None:
        record(cell, folder)
        return
    composed = Composed.of(cfg, hydra_cfg.runtime.choices)
    source = composed.config.dataset.build(composed.config.data_dir)
    single = Cell.of(composed, hydra_cfg.overrides.task, source.fingerprint)
    try:
        result = record(single, folder)
    except Exception:  # record has shown it
        sys.exit(1)
    from src.tracking.view import show_runs

    terminal.show_results([result])
    show_runs(single.config, sweep=None)


def record(cell: "Cell", folder: Path) -> "Result":
    """Train the cell, and leave its outcome in its folder, whichever it is."""
    from src.dataset import DataError
    from src.fit.evaluate import NonFiniteOutputError
    from src.fit.loop import NonFiniteLossError
    from src.model.weights import WeightsError
    from src.sweep.result import Result

    try:
        result = train(cell, folder)
    except Exception as error:
        expected = isinstance(error, DataError | WeightsError | NonFiniteLossError | NonFiniteOutputError)
        log.info("failed: %s", error, exc_info=not expected)
        Result(cell.id, cell.name, reason=f"{type(error).__name__}: {error}").save(folder)
        terminal.show_failure(cell, error, with_traceback=not expected)
        raise
    result.save(folder)
    return result


def main() -> None:
    """The command line."""
    sys.argv[1:] = checked_arguments(sys.argv[1:])
    job()


if __name__ == "__main__":
    main()
