"""An attempt at a cell: from the data to the evaluation on the test split, and the result that it saves."""

import logging
import traceback
from pathlib import Path

import numpy as np
from torch import nn

from image_sweeps.cell.cell import Cell
from image_sweeps.cell.claim import Claim, SupersededError
from image_sweeps.cell.folders import CellFile
from image_sweeps.cell.listener import CellListener
from image_sweeps.cell.result import Pruned, Result
from image_sweeps.cell.status import CellStatus
from image_sweeps.dataset import DataError
from image_sweeps.fit import checkpoint, device, ranks
from image_sweeps.fit.assemble import assemble
from image_sweeps.fit.checkpoint import CheckpointError, TrainingHistory
from image_sweeps.fit.evaluate import NonFiniteOutputError, evaluate
from image_sweeps.fit.loop import NonFiniteLossError, Training, predict
from image_sweeps.fit.memory import out_of_memory
from image_sweeps.fit.ranks import RankError
from image_sweeps.model import portable, summary
from image_sweeps.model.weights import WeightsError
from image_sweeps.search.trial import TrialPruner, trial_pruner
from image_sweeps.system.files import DiskError, disk_trouble, locked
from image_sweeps.system.interrupt import Interrupted
from image_sweeps.tracking.cell_run import Run, open_run
from image_sweeps.tracking.journal import Journal

log = logging.getLogger(__name__)


def train(cell: Cell, folder: Path, listener: CellListener, claim: Claim) -> Result:
    """Train the cell and record it, from the data to the evaluation on the test split.

    Training resumes from the checkpoint of an interrupted attempt, if the folder contains one.

    Args:
        cell: the cell to train.
        folder: the folder of the cell; its checkpoints, log and result are written there.
        listener: the listener that is notified of every epoch, and may request a stop after it.
        claim: the claim of this attempt; nothing permanent is written after another attempt has claimed the folder.

    Raises:
        DataError: if the data set cannot be read or split.
        WeightsError: if the initial weights are not available.
        CheckpointError: if the checkpoint to resume from cannot be used.
        RankError: if one of several processes that train the cell together failed.
        NonFiniteLossError: if training diverged, and the cell is not a trial of a search.
        NonFiniteOutputError: if the outputs of the trained network are not finite.
        Pruned: if the cell is a trial of a search, and is not worth continuing or diverged.
        Interrupted: if a stop was requested, or another attempt has taken over.
    """
    config = cell.config
    device.make_repeatable(config)
    place = device.choose(config.device)
    with open_run(cell, claim, listener.on_notice) as run:
        parts = assemble(config, place)
        source, splits, normalize, model = parts.source, parts.splits, parts.normalize, parts.model
        run.log_setup(source, splits, summary.layers(model, source.shape), place)
        with ranks.process_group(config, cell.raw) as world:
            training = parts.training(world)
            run.log_batch(*training.first_batch(), source.class_names)

            past = checkpoint.restore(folder / CellFile.LAST, training)
            listener.on_data_ready(cell, source, splits, place)
            listener.on_train_start(cell, training.num_done)
            pruner = trial_pruner(folder, listener.on_notice)
            try:
                _fit(cell, training, past, claim, run, listener, pruner)
            except NonFiniteLossError as error:
                pruner.diverged(past, error)
                raise

        best = past.best
        statistics = {"mean": list(splits.mean), "std": list(splits.std)}
        measured = {"epoch": best.number, "val_loss": best.val_loss, "val_accuracy": best.val_accuracy}
        facts = {"cell": cell.id, "config": cell.raw, "classes": list(source.class_names), **statistics, **measured}
        checkpoint.save(folder / CellFile.BEST, {"model": past.weights, **facts})
        model.load_state_dict(past.weights)
        test = splits.test.to(place)
        evaluation = evaluate(predict(model, test, normalize, config), test.labels)
        run.log_checkpoint(folder / CellFile.BEST)
        run.log_result(past.epochs, best, evaluation, source.class_names, splits.test)
        run.log_model(portable(nn.Sequential(normalize, model)), np.zeros((2, *source.shape), dtype=np.float32))
    return Result(
        cell=cell.id,
        name=cell.name,
        status=CellStatus.FINISHED,
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


def _fit(
    cell: Cell,
    training: Training,
    past: TrainingHistory,
    claim: Claim,
    run: Run,
    listener: CellListener,
    pruner: TrialPruner,
) -> None:
    """Train to the last epoch or until early stopping. Every epoch is in the checkpoint before it is recorded.

    However the process is stopped, a recorded epoch is therefore in the checkpoint too, and is not trained again.
    """
    run.log_epochs(past.epochs)  # the last epoch may be in the checkpoint and not yet recorded
    num_epochs = training.config.epochs
    if past.watch.exhausted or training.num_done == num_epochs:
        return
    _prune_if_worse(pruner, past, num_epochs)  # the last epoch may not have been judged either
    for epoch in training.epochs():
        past.add(epoch, training.model)
        claim.raise_if_superseded()
        checkpoint.save_last(claim.folder / CellFile.LAST, training, past)
        run.log_epochs([epoch])
        listener.on_epoch_end(cell, epoch)
        log.info(epoch)
        if past.watch.exhausted or epoch.number == num_epochs:
            pruner.report(past.epochs)
            return
        _prune_if_worse(pruner, past, num_epochs)
        if listener.stop_requested:
            raise Interrupted(f"after epoch {epoch.number} of {num_epochs}")


def _prune_if_worse(pruner: TrialPruner, past: TrainingHistory, num_epochs: int) -> None:
    """Report the epochs to the pruner, and raise Pruned if the cell is not worth continuing."""
    pruner.report(past.epochs)
    if pruner.should_prune():
        raise Pruned(f"pruned after epoch {len(past.epochs)} of {num_epochs}", past.epochs, past.watch.best)


def run_attempt(cell: Cell, folder: Path, listener: CellListener) -> Result:
    """Train the cell and save its result in its folder, whatever its status. Only one process at a time does so.

    Returns: the result, or another attempt's result if it completed the cell while this attempt waited for the folder.
    """
    with locked(folder / CellFile.LOCK):  # an orphaned attempt may still be running
        if (left := Result.load(folder)) is not None and left.over:
            return left
        try:
            claim = Claim.acquire(folder)  # for file systems without locks
            Result.remove(folder)
            result = _outcome(cell, folder, listener, claim)
            claim.raise_if_superseded()
            result.save(folder)
        except SupersededError as stop:
            log.info("given up: %s", stop)
            return Result(cell.id, cell.name, CellStatus.INTERRUPTED, str(stop))
        except DiskError as error:  # a cell is not finished until its result is saved
            result = _failed(cell, folder, listener, error)
        if result.over:
            (folder / CellFile.LAST).unlink(missing_ok=True)
            trial_pruner(folder, listener.on_notice).tell(result)
    return result


def _outcome(cell: Cell, folder: Path, listener: CellListener, claim: Claim) -> Result:
    """Train the cell and return its result. A failure is reported, logged, and returned as a result.

    Raises:
        SupersededError: if there must be no result, because another attempt has taken over.
    """
    try:
        return train(cell, folder, listener, claim)
    except SupersededError:
        raise
    except Pruned as stop:
        log.info("pruned: %s", stop)
        return _pruned(cell, folder, stop)
    except Interrupted as stop:
        log.info("interrupted %s", stop)
        return Result(cell.id, cell.name, CellStatus.INTERRUPTED, f"interrupted {stop}")
    except Exception as error:
        return _failed(cell, folder, listener, error)


def _pruned(cell: Cell, folder: Path, stop: Pruned) -> Result:
    """Return the result of a pruned trial, with its metrics up to that point."""
    return Result(
        cell.id,
        cell.name,
        CellStatus.PRUNED,
        str(stop),
        run_id=Journal(folder).progress.run_id,
        best_epoch=stop.best.number if stop.best else 0,
        val_loss=stop.best.val_loss if stop.best else float("nan"),
        val_accuracy=stop.best.val_accuracy if stop.best else float("nan"),
        seconds=sum(epoch.epoch_s for epoch in stop.epochs),
        num_epochs=len(stop.epochs),
    )


def _failed(cell: Cell, folder: Path, listener: CellListener, error: Exception) -> Result:
    """Report and log a failure, with a traceback unless the error explains itself, and return its result."""
    explained = _explained(error, folder)
    reason = explained or f"{type(error).__name__}: {error}"
    log.info("failed: %s", reason, exc_info=None if explained else error)
    listener.on_failure(cell, explained or "".join(traceback.format_exception(error)))
    return Result(cell.id, cell.name, CellStatus.FAILED, reason)


def _explained(error: Exception, folder: Path) -> str | None:
    """Return an explanation of the error, or None if it has none or may be a bug in the program."""
    known = DataError | WeightsError | CheckpointError | NonFiniteLossError | NonFiniteOutputError | RankError
    if isinstance(error, known):
        return f"{type(error).__name__}: {error}"
    if trouble := disk_trouble(error, folder):
        return str(trouble)
    return out_of_memory(error)
