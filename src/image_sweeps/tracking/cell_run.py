"""The run of one cell in MLflow: what is recorded, and under which names."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow.pytorch
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from image_sweeps.cell.cell import Cell
from image_sweeps.cell.claim import Claim
from image_sweeps.cell.commands import of_cell
from image_sweeps.cell.environment import environment
from image_sweeps.cell.result import Pruned
from image_sweeps.cell.status import CellStatus
from image_sweeps.config.schema import flattened
from image_sweeps.dataset import Dataset, Images, Splits
from image_sweeps.fit.epoch import PENALTY, Epoch
from image_sweeps.fit.evaluate import Evaluation
from image_sweeps.model.summary import Layer
from image_sweeps.system.interrupt import Interrupted
from image_sweeps.tracking import figures, tables
from image_sweeps.tracking.delivery import MODEL
from image_sweeps.tracking.delivery_thread import DeliveryThread
from image_sweeps.tracking.files import Files
from image_sweeps.tracking.journal import PRUNED, Journal
from image_sweeps.tracking.origin import origin
from image_sweeps.tracking.store import open_store


@dataclass(frozen=True)
class Run:
    """An open run. Its records are in its journal at once, and in the store after their delivery.

    Attributes:
        cell: the cell that the run records.
        journal: the journal of the run, on the disk.
        delivery_thread: the thread that delivers the journal to the store; None if the records stay on the disk.
    """

    cell: Cell
    journal: Journal
    delivery_thread: DeliveryThread | None

    @property
    def id(self) -> str | None:
        """The id of the run in MLflow; None if the run has not arrived there."""
        return self.journal.progress.run_id

    def log_setup(self, source: Dataset, splits: Splits, layers: Sequence[Layer], device: torch.device) -> None:
        """Record everything that is known before the first step: parameters, data set, network, environment."""
        self.journal.params(
            {
                **self.cell.choices,
                **flattened(self.cell.raw),
                "num_parameters": sum(layer.num_parameters for layer in layers),
                "normalize.mean": list(splits.mean),
                "normalize.std": list(splits.std),
                "num_skipped_images": len(splits.skipped),
            }
        )
        self.journal.dataset(**_dataset(source, splits, self.cell.fingerprint))
        rows = [(r.name, r.type, "x".join(map(str, r.output_shape)), r.num_parameters) for r in layers]
        with self._files() as files:
            files.yaml("config.yaml", self.cell.raw)
            files.yaml("environment.yaml", {"command": of_cell(self.cell.overrides), **environment(device)})
            files.table("layers.csv", tables.Table(("layer", "type", "output_shape", "parameters"), rows))
            if splits.skipped:
                files.text("skipped_images.txt", "\n".join(splits.skipped) + "\n")

    def log_batch(self, images: Tensor, labels: Tensor, names: Sequence[str]) -> None:
        """Record a picture of a training batch, which shows what augmentation does and whether labels fit their images.

        Args:
            images: augmented but not normalised, float32 in [0, 1], N x C x H x W.
            labels: int64, N.
            names: the names of the classes.
        """
        with self._files() as files:
            files.figure("batch", figures.batch(images, labels, names))

    def log_epochs(self, epochs: Sequence[Epoch]) -> None:
        """Record the measurements of epochs as metrics at their steps; an epoch recorded twice remains one record."""
        self.journal.metrics(
            [
                (key, float(value), epoch.ended_ms, epoch.number)
                for epoch in epochs
                for key, value in self._measured(epoch).items()
            ]
        )
        self._wake()

    def _measured(self, epoch: Epoch) -> dict[str, float]:
        return {**epoch.metrics(), **({PENALTY: epoch.penalty} if self.cell.config.l2 else {})}

    def log_result(
        self,
        history: Sequence[Epoch],
        best: Epoch,
        evaluation: Evaluation,
        names: Sequence[str],
        test: Images,
    ) -> None:
        """Record the result: the best epoch, the evaluation as metrics, tables and figures, and every prediction.

        Args:
            history: all epochs.
            best: the epoch that was tested.
            evaluation: the evaluation on the test split.
            names: the names of the classes.
            test: the test split, on the CPU.
        """
        metrics = {
            "stop/epoch": history[-1].number,
            "best/epoch": best.number,
            "best/val_loss": best.val_loss,
            "best/val_accuracy": best.val_accuracy,
            **evaluation.metrics(),
        }
        ended_ms = history[-1].ended_ms  # so that recording again after an interruption adds no second record
        self.journal.metrics([(key, float(value), ended_ms, 0) for key, value in metrics.items()])
        mistaken = _images(test, evaluation.mistakes[: figures.MAX_MISTAKES])
        with self._files() as files:
            files.figure("curves", figures.curves(history, self.cell.name))
            files.figure("confusion", figures.confusion(evaluation, names))
            files.figure("roc", figures.roc(evaluation, names))
            files.figure("precision_recall", figures.precision_recall(evaluation, names))
            files.figure("reliability", figures.reliability(evaluation))
            files.figure("mistakes", figures.mistakes(evaluation, mistaken, names))
            for name, table in tables.of_result(history, evaluation, names).items():
                files.table(name, table)
            files.predictions(evaluation, names)

    def log_checkpoint(self, path: Path) -> None:
        """Record a file as it is now. The file is never changed in place, so that a hard link replaces a copy."""
        with self.journal.files() as folder:
            (folder / "checkpoints").mkdir()
            try:
                os.link(path, folder / "checkpoints" / path.name)
            except OSError:  # a file system without links
                shutil.copyfile(path, folder / "checkpoints" / path.name)
        self._wake()

    def log_model(self, model: nn.Module, example: NDArray[np.float32]) -> None:
        """Record the network as a loadable MLflow model (pt2), which needs neither this project nor pickle.

        Args:
            model: a copy of the network on the CPU in eval mode, because exporting changes it.
            example: float32 in [0, 1], N x C x H x W, with N of 2 or more: 1 would freeze the batch size.
        """
        with self.journal.files("model") as folder:
            save_model(model, example, folder / MODEL)
        self._wake()

    @contextmanager
    def _files(self) -> Iterator[Files]:
        with self.journal.files() as folder:
            yield Files(folder)
        self._wake()

    def _wake(self) -> None:
        if self.delivery_thread:
            self.delivery_thread.wake()


def save_model(model: nn.Module, example: NDArray[np.float32], folder: Path) -> None:
    """Write the network as an MLflow model to `folder`; the arguments are those of `Run.log_model`."""
    requirements = [f"torch=={torch.__version__.split('+')[0]}", f"numpy=={np.__version__}"]
    mlflow.pytorch.save_model(model, folder, input_example=example, pip_requirements=requirements)


@contextmanager
def open_run(cell: Cell, claim: Claim, tell: Callable[[str], object]) -> Iterator[Run]:
    """Yield the run of the cell. It ends FINISHED, or, with a reason as a tag, KILLED (interrupted, pruned) or FAILED.

    A cell that was begun before continues in the same run. An unavailable store does not disturb the cell: undelivered
    records stay in the folder of the cell, from where any process can deliver them later.

    Args:
        cell: the cell to record.
        claim: the claim of this attempt on the cell's folder; nothing is recorded after another attempt has claimed it.
        tell: shows a message to the user when the store becomes unavailable, and when it is available again.
    """
    journal, tracking = Journal(claim.folder, claim.raise_if_superseded), cell.config.tracking
    journal.begin(cell.name, _tags(cell), tracking, nested=cell.sweep is not None)
    delivery_thread = None if tracking.offline else DeliveryThread(journal, lambda: open_store(cell.config), tell)
    run = Run(cell, journal, delivery_thread)
    run._wake()
    status, reason = CellStatus.FAILED, None
    try:
        yield run
        status = CellStatus.FINISHED
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, Interrupted | KeyboardInterrupt):
            status = CellStatus.INTERRUPTED
        if isinstance(error, Pruned):
            status, reason = CellStatus.PRUNED, str(error)
            journal.tags({PRUNED: str(len(error.epochs))})
        raise
    finally:
        try:
            journal.end(status, reason)
        finally:
            if delivery_thread:
                delivery_thread.close(settled=cell.sweep is None)


def _tags(cell: Cell) -> dict[str, str]:
    """Return the tags that identify the run of a cell and its origin."""
    ours = {"kind": "cell", "cell": cell.id, "varied": json.dumps(cell.levels)}
    return {**ours, **({"sweep": cell.sweep.id} if cell.sweep else {}), **origin()}


def _images(split: Images, positions: NDArray[np.intp]) -> Tensor:
    """Return the images at these positions of a split, uint8, n x C x H x W."""
    if not len(positions):
        return torch.empty(0, 1, 1, 1, dtype=torch.uint8)
    ((images, _),) = split.batches([torch.from_numpy(positions)])
    return images


def _dataset(source: Dataset, splits: Splits, fingerprint: str) -> dict[str, str]:
    """Return the data set for MLflow's dataset column, with the fingerprint as its digest."""
    sizes = {"train": len(splits.train), "val": len(splits.val), "test": len(splits.test)}
    return {
        "name": source.name,
        "digest": fingerprint,
        "source_type": "code",
        "source": json.dumps({"tags": {"origin": source.origin}}),
        "profile": json.dumps({**sizes, "classes": len(source.class_names)}),
        "context": "train, val, test",
    }
