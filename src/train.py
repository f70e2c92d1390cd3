"""Train one cell, or with `-m` a sweep of them.

    python -m src.train model=cnn_batch
    python -m src.train -m model=cnn,cnn_batch seed=0,1,2

Exit codes: 0 all cells finished; 1 some cell failed, the others still ran; 2 the configuration was wrong and nothing
ran.

What takes long to import (torch, mlflow) is imported where it is needed, so that `--help` and `--cfg job` answer at
once.
"""

import logging
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from src import leaving, terminal
from src.command_line import checked_arguments
from src.compose import CONF, Composed
from src.interrupt import Interrupt, Interrupted, Pruned
from src.torchrun import Started

if TYPE_CHECKING:
    from src.config import Config
    from src.fit.checkpoint import Past
    from src.fit.loop import Training
    from src.progress import Progress
    from src.search.trial import Judge
    from src.sweep.cell import Cell
    from src.sweep.claim import Claim
    from src.sweep.result import Result
    from src.tracking.run import Run

log = logging.getLogger(__name__)


def train(cell: "Cell", folder: Path, progress: "Progress", claim: "Claim") -> "Result":
    """Train the cell and record it, from the data to the verdict of the test split.

    It goes on from the checkpoint of an interrupted attempt, where the folder holds one.

    Args:
        cell: what to train.
        folder: the cell's own; its checkpoints, log and result are written there.
        progress: is told of every epoch, and may ask to stop after it.
        claim: of this attempt. Nothing that lasts is written after another has come.

    Raises:
        DataError: where the data set cannot be read or split.
        WeightsError: where weights to begin with cannot be had.
        CheckpointError: where the checkpoint to go on from cannot be used.
        RankError: where one of several processes that train it together failed.
        NonFiniteLossError: where training diverged.
        NonFiniteOutputError: where the network's outputs did, after training.
        Pruned: where it is a search's trial, and not worth going on with.
        Interrupted: where it was asked to stop, or another attempt has taken over.
    """
    import numpy as np
    from torch import nn

    from src.dataset import load
    from src.fit import checkpoint, device, ranks
    from src.fit.batches import Normalize
    from src.fit.evaluate import evaluate
    from src.fit.loop import NonFiniteLossError, Training, predict
    from src.model import build, portable, summary
    from src.search.trial import judge_of
    from src.sweep.result import Result
    from src.tracking.run import open_run

    config = cell.config
    device.make_repeatable(config)
    place = device.choose(config.device)
    with open_run(cell, claim, progress.note) as run:
        source = config.dataset.build(config.data_dir)
        splits = load(source, config.outputs_dir / "cache")
        normalize = Normalize(splits.mean, splits.std).to(place)
        model = build(config, source.shape, len(source.class_names), place)
        run.log_setup(source, splits, summary.layers(model, source.shape), place)
        with ranks.together(config, cell.raw) as world:
            training = Training(model, splits.train.to(place), splits.val.to(place), normalize, config, world)
            run.log_batch(*training.first_batch(), source.class_names)

            past = checkpoint.go_on(folder, training)
            progress.begun(cell, source, splits, place, training.num_done)
            judge = judge_of(folder, progress.note)
            try:
                _fit(training, past, claim, run, progress, judge)
            except NonFiniteLossError as error:
                judge.diverged(past, error)
                raise

        best = past.best
        statistics = {"mean": list(splits.mean), "std": list(splits.std)}
        measured = {"epoch": best.number, "val_loss": best.val_loss, "val_accuracy": best.val_accuracy}
        facts = {"cell": cell.id, "config": cell.raw, "classes": list(source.class_names), **statistics, **measured}
        checkpoint.save(folder / checkpoint.BEST, {"model": past.weights, **facts})
        model.load_state_dict(past.weights)
        test = splits.test.to(place)
        evaluation = evaluate(predict(model, test, normalize, config), test.labels)
        run.log_checkpoint(folder / checkpoint.BEST)
        run.log_result(past.epochs, best, evaluation, source.class_names, splits.test)
        run.log_model(portable(nn.Sequential(normalize, model)), np.zeros((2, *source.shape), dtype=np.float32))
    return Result(
        cell=cell.id,
        name=cell.name,
        status="finished",
        run_id=run.id,
        best_epoch=best.number,
        val_loss=best.val_loss,
        val_accuracy=best.val_accuracy,
        test_accuracy=evaluation.accuracy,
        test_accuracy_low=evaluation.accuracy_low,
        test_accuracy_high=evaluation.accuracy_high,
        num_parameters=summary.num_parameters(model),
        seconds=sum(epoch.epoch_s for epoch in past.epochs),
        num_epochs=len(past.epochs),
    )


def _fit(training: "Training", past: "Past", claim: "Claim", run: "Run", progress: "Progress", judge: "Judge") -> None:
    """Train to the last epoch, or until none is better. Every epoch is kept before it is recorded.

    Whatever stops the process, an epoch that is in the records is so in the checkpoint too, and is not trained again.
    """
    from src.fit import checkpoint

    run.log_epochs(past.epochs)  # the last of them may have been kept and not yet recorded
    num_epochs = training.config.epochs
    if past.watch.exhausted or training.num_done == num_epochs:
        return
    _judge(judge, past, num_epochs)  # nor judged
    for epoch in training.epochs():
        past.add(epoch, training.model)
        claim.check()
        checkpoint.save_last(claim.folder, training, past)
        run.log_epochs([epoch])
        progress.epoch_over(epoch)
        log.info(epoch)
        if past.watch.exhausted or epoch.number == num_epochs:
            judge.report(past.epochs)
            return
        _judge(judge, past, num_epochs)
        if progress.stop_requested:
            raise Interrupted(f"after epoch {epoch.number} of {num_epochs}")


def _judge(judge: "Judge", past: "Past", num_epochs: int) -> None:
    """End the cell here where it is not worth going on with."""
    judge.report(past.epochs)
    if judge.hopeless():
        raise Pruned(f"pruned after epoch {len(past.epochs)} of {num_epochs}", past.epochs, past.watch.best)


def record(cell: "Cell", folder: Path, progress: "Progress") -> "Result":
    """Train the cell, and leave its outcome in its folder, whichever it is. One process at a time does.

    Returns: the outcome; of an earlier attempt, where that finished while this one waited for the folder.
    """
    from src.files import DiskError, locked
    from src.fit.checkpoint import LAST
    from src.search.trial import judge_of
    from src.sweep.claim import Claim, SupersededError
    from src.sweep.result import Result

    with locked(folder / ".lock"):  # an attempt that was left behind may still be at work
        if (left := Result.of(folder)) is not None and left.over:
            return left
        try:
            claim = Claim.of(folder)  # where nothing can be locked
            Result.remove(folder)
            result = _outcome(cell, folder, progress, claim)
            claim.check()
            result.save(folder)
        except SupersededError as stop:
            log.info("given up: %s", stop)
            return Result(cell.id, cell.name, "interrupted", str(stop))
        except DiskError as error:  # it is not finished before that is written down
            result = _failed(cell, folder, progress, error)
        if result.over:
            (folder / LAST).unlink(missing_ok=True)
            judge_of(folder, progress.note).tell(result)
    return result


def _outcome(cell: "Cell", folder: Path, progress: "Progress", claim: "Claim") -> "Result":
    """Train the cell; a failure is told, logged, and an outcome like another.

    Raises:
        SupersededError: where there is to be none, because another attempt has taken over.
    """
    from src.sweep.claim import SupersededError
    from src.sweep.result import Result

    try:
        return train(cell, folder, progress, claim)
    except SupersededError:
        raise
    except Pruned as stop:
        log.info("pruned: %s", stop)
        return _pruned(cell, folder, stop)
    except Interrupted as stop:
        log.info("interrupted %s", stop)
        return Result(cell.id, cell.name, "interrupted", f"interrupted {stop}")
    except Exception as error:
        return _failed(cell, folder, progress, error)


def _pruned(cell: "Cell", folder: Path, stop: Pruned) -> "Result":
    """The outcome of a trial that was given up, with what it had learned until then."""
    from src.sweep.result import Result
    from src.tracking.journal import Journal

    return Result(
        cell.id,
        cell.name,
        "pruned",
        str(stop),
        run_id=Journal(folder).progress.run_id,
        best_epoch=stop.best.number if stop.best else 0,
        val_loss=stop.best.val_loss if stop.best else float("nan"),
        val_accuracy=stop.best.val_accuracy if stop.best else float("nan"),
        seconds=sum(epoch.epoch_s for epoch in stop.epochs),
        num_epochs=len(stop.epochs),
    )


def _failed(cell: "Cell", folder: Path, progress: "Progress", error: Exception) -> "Result":
    """The outcome of a cell that failed, told and logged; with a traceback where the error does not explain itself."""
    from src.sweep.result import Result

    explained = _explained(error, folder)
    reason = explained or f"{type(error).__name__}: {error}"
    log.info("failed: %s", reason, exc_info=None if explained else error)
    progress.failed(cell, explained or "".join(traceback.format_exception(error)))
    return Result(cell.id, cell.name, "failed", reason)


def _explained(error: Exception, folder: Path) -> str | None:
    """What went wrong, where that can be said in words and is no mistake of the program."""
    from src.dataset import DataError
    from src.files import disk_trouble
    from src.fit.checkpoint import CheckpointError
    from src.fit.evaluate import NonFiniteOutputError
    from src.fit.loop import NonFiniteLossError
    from src.fit.memory import out_of_memory
    from src.fit.ranks import RankError
    from src.model.weights import WeightsError

    in_words = DataError | WeightsError | CheckpointError | NonFiniteLossError | NonFiniteOutputError | RankError
    if isinstance(error, in_words):
        return f"{type(error).__name__}: {error}"
    if trouble := disk_trouble(error, folder):
        return str(trouble)
    return out_of_memory(error)


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def job(cfg: DictConfig) -> None:
    """One cell, as Hydra runs it: a sweep's, which the sweeper has frozen into the folder, or a single one.

    Raises:
        KeyboardInterrupt: where a cell of a sweep was interrupted: the launcher is to start no other.
    """
    from src.sweep.cell import Cell

    hydra_cfg = HydraConfig.get()
    folder = Path(hydra_cfg.runtime.output_dir)
    planned = Cell.thaw(folder) if hydra_cfg.mode == RunMode.MULTIRUN else None
    with Interrupt.on_signals() as interrupt, terminal.following(interrupt) as progress:
        if planned is not None:
            _limit_threads(planned.config)
            if not _given_up(planned, folder) and record(planned, folder, progress).status == "interrupted":
                raise KeyboardInterrupt
            return
        composed = Composed.of(cfg, hydra_cfg.runtime.choices)
        source = composed.config.dataset.build(composed.config.data_dir)
        single = Cell.of(composed, hydra_cfg.overrides.task, source.fingerprint)
        _reach(single)
        _limit_threads(single.config)
        result = record(single, folder, progress)
    if result.status == "interrupted":
        terminal.show_error(f"{single.name} was {result.reason}; what it had learned is in {folder}")
        sys.exit(interrupt.exit_code)
    if not result.finished:
        sys.exit(1)
    from src.tracking.sync import show_kept
    from src.tracking.view import show_runs

    terminal.show_results([result])
    if not show_kept(folder, single.config):
        show_runs(single.config, sweep=None)


def _reach(cell: "Cell") -> None:
    """End the process (2) where the cell's store cannot be opened: nothing has been trained yet."""
    from src.command_line import refuse
    from src.problems import ConfigError
    from src.tracking.sync import reach

    try:
        reach(cell.config)
    except ConfigError as error:
        refuse(error)


def _limit_threads(config: "Config") -> None:
    """Compute with as many threads as the cell would in the pool, so that the numbers are the same to the last bit."""
    from src.fit.device import limit_threads

    limit_threads(config.threads if Started.found() else config.threads * config.devices)


def _given_up(cell: "Cell", folder: Path) -> bool:
    """Whether a cell of the sweep has failed, and no other is to be started. For launchers that do not know that."""
    from src.sweep.result import Result

    if cell.config.on_failure == "continue":
        return False
    return any(result.status == "failed" for other in folder.parent.iterdir() if (result := Result.of(other)))


def _follow(started: Started) -> None:
    """Train with rank 0, which alone reads the command line, unless that only asks something."""
    from hydra._internal.utils import get_args_parser

    asked, _ = get_args_parser().parse_known_args()
    if asked.help or asked.hydra_help or asked.cfg or asked.info or asked.shell_completion:
        return
    from src.fit.ranks import follow_torchrun

    follow_torchrun(started)


def main() -> None:
    """The command line."""
    if (started := Started.found()) is not None and started.rank > 0:
        _follow(started)
        return
    logging.raiseExceptions = False  # a log that a full disk does not take would fill the terminal with tracebacks
    sys.argv[1:] = checked_arguments(sys.argv[1:])
    try:
        job()
    except KeyboardInterrupt:  # the second one, or outside of a cell
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    leaving.run(main)
