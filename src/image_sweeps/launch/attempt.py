"""An attempt at a cell: from the data to the verdict of the test split, and the outcome that it leaves."""

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
from image_sweeps.search.trial import TrialPruner, pruner_for
from image_sweeps.system.files import DiskError, disk_trouble, locked
from image_sweeps.system.interrupt import Interrupted
from image_sweeps.tracking.journal import Journal
from image_sweeps.tracking.run import Run, open_run

log = logging.getLogger(__name__)


def train(cell: Cell, folder: Path, listener: CellListener, claim: Claim) -> Result:
    """Train the cell and record it, from the data to the verdict of the test split.

    It goes on from the checkpoint of an interrupted attempt, where the folder holds one.

    Args:
        cell: what to train.
        folder: the cell's own; its checkpoints, log and result are written there.
        listener: is told of every epoch, and may ask to stop after it.
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
    config = cell.config
    device.make_repeatable(config)
    place = device.choose(config.device)
    with open_run(cell, claim, listener.on_notice) as run:
        parts = assemble(config, place)
        source, splits, normalize, model = parts.source, parts.splits, parts.normalize, parts.model
        run.log_setup(source, splits, summary.layers(model, source.shape), place)
        with ranks.together(config, cell.raw) as world:
            training = parts.training(world)
            run.log_batch(*training.first_batch(), source.class_names)

            past = checkpoint.restore(folder / CellFile.LAST, training)
            listener.on_data_ready(cell, source, splits, place)
            listener.on_train_start(cell, training.num_done)
            pruner = pruner_for(folder, listener.on_notice)
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
    """Train to the last epoch, or until none is better. Every epoch is kept before it is recorded.

    Whatever stops the process, an epoch that is in the records is so in the checkpoint too, and is not trained again.
    """
    run.log_epochs(past.epochs)  # the last of them may have been kept and not yet recorded
    num_epochs = training.config.epochs
    if past.watch.exhausted or training.num_done == num_epochs:
        return
    _prune_if_worse(pruner, past, num_epochs)  # nor judged
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
    """End the cell here where it is not worth going on with."""
    pruner.report(past.epochs)
    if pruner.should_prune():
        raise Pruned(f"pruned after epoch {len(past.epochs)} of {num_epochs}", past.epochs, past.watch.best)


def run_attempt(cell: Cell, folder: Path, listener: CellListener) -> Result:
    """Train the cell, and leave its outcome in its folder, whichever it is. One process at a time does.

    Returns: the outcome; of an earlier attempt, where that finished while this one waited for the folder.
    """
    with locked(folder / CellFile.LOCK):  # an attempt that was left behind may still be at work
        if (left := Result.load(folder)) is not None and left.over:
            return left
        try:
            claim = Claim.acquire(folder)  # where nothing can be locked
            Result.remove(folder)
            result = _outcome(cell, folder, listener, claim)
            claim.raise_if_superseded()
            result.save(folder)
        except SupersededError as stop:
            log.info("given up: %s", stop)
            return Result(cell.id, cell.name, CellStatus.INTERRUPTED, str(stop))
        except DiskError as error:  # it is not finished before that is written down
            result = _failed(cell, folder, listener, error)
        if result.over:
            (folder / CellFile.LAST).unlink(missing_ok=True)
            pruner_for(folder, listener.on_notice).tell(result)
    return result


def _outcome(cell: Cell, folder: Path, listener: CellListener, claim: Claim) -> Result:
    """Train the cell; a failure is told, logged, and an outcome like another.

    Raises:
        SupersededError: where there is to be none, because another attempt has taken over.
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
    """The outcome of a trial that was given up, with what it had learned until then."""
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
    """The outcome of a cell that failed, told and logged; with a traceback where the error does not explain itself."""
    explained = _explained(error, folder)
    reason = explained or f"{type(error).__name__}: {error}"
    log.info("failed: %s", reason, exc_info=None if explained else error)
    listener.on_failure(cell, explained or "".join(traceback.format_exception(error)))
    return Result(cell.id, cell.name, CellStatus.FAILED, reason)


def _explained(error: Exception, folder: Path) -> str | None:
    """What went wrong, where that can be said in words and is no mistake of the program."""
    in_words = DataError | WeightsError | CheckpointError | NonFiniteLossError | NonFiniteOutputError | RankError
    if isinstance(error, in_words):
        return f"{type(error).__name__}: {error}"
    if trouble := disk_trouble(error, folder):
        return str(trouble)
    return out_of_memory(error)
