"""One cell's run in MLflow: what is recorded, and under which names."""

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
    """An open run. What it is told is in its journal at once, and in the store when that has it.

    Attributes:
        cell: what it records.
        journal: on the disk.
        delivery_thread: brings that to the store; None where it is to stay here.
    """

    cell: Cell
    journal: Journal
    delivery_thread: DeliveryThread | None

    @property
    def id(self) -> str | None:
        """MLflow's, where the run has arrived there."""
        return self.journal.progress.run_id

    def log_setup(self, source: Dataset, splits: Splits, layers: Sequence[Layer], device: torch.device) -> None:
        """Everything that is known before the first step: parameters, data set, network, environment."""
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
        """A picture of a training batch, which shows what augmentation does and whether labels fit their images.

        Args:
            images: augmented but not normalised, float32 in [0, 1], N x C x H x W.
            labels: int64, N.
            names: of the classes.
        """
        with self._files() as files:
            files.figure("batch", figures.batch(images, labels, names))

    def log_epochs(self, epochs: Sequence[Epoch]) -> None:
        """Epochs' measurements, as metrics at their steps; one that is recorded already stays as it is."""
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
        """What came out: the best epoch, the test split's verdict as numbers and figures, and every prediction.

        Args:
            history: all epochs.
            best: the one that was tested.
            evaluation: of the test split.
            names: of the classes.
            test: the test split, on the CPU.
        """
        metrics = {
            "stop/epoch": history[-1].number,
            "best/epoch": best.number,
            "best/val_loss": best.val_loss,
            "best/val_accuracy": best.val_accuracy,
            **evaluation.metrics(),
        }
        ended_ms = history[-1].ended_ms  # so that recording it again, after an interruption, is no second record
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
        """Keep a file as it is now; it is never changed in place, so that it need not be copied."""
        with self.journal.files() as folder:
            (folder / "checkpoints").mkdir()
            try:
                os.link(path, folder / "checkpoints" / path.name)
            except OSError:  # a file system without links
                shutil.copyfile(path, folder / "checkpoints" / path.name)
        self._wake()

    def log_model(self, model: nn.Module, example: NDArray[np.float32]) -> None:
        """The network as a loadable MLflow model (pt2), which needs neither this project nor pickle.

        Args:
            model: on the CPU, in eval mode, a copy: exporting changes it.
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
    """Write the network as an MLflow model to `folder`; as in `Run.log_model`."""
    requirements = [f"torch=={torch.__version__.split('+')[0]}", f"numpy=={np.__version__}"]
    mlflow.pytorch.save_model(model, folder, input_example=example, pip_requirements=requirements)


@contextmanager
def open_run(cell: Cell, claim: Claim, tell: Callable[[str], object]) -> Iterator[Run]:
    """The cell's run, which ends FINISHED, or with the reason as a tag: FAILED, or KILLED where it was interrupted.

    A cell that was begun before goes on in the same run. A store that is away hinders nothing: what it misses is in the
    cell's folder, for whoever comes by when it is back.

    Args:
        cell: what is recorded.
        claim: of this attempt, on the cell's folder. Nothing is recorded after another attempt has come.
        tell: is told where the store is away, and when it is back.
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
    """What a run is found by, and where it comes from."""
    ours = {"kind": "cell", "cell": cell.id, "varied": json.dumps(cell.levels)}
    return {**ours, **({"sweep": cell.sweep.id} if cell.sweep else {}), **origin()}


def _images(split: Images, positions: NDArray[np.intp]) -> Tensor:
    """Some of a split's images, uint8, n x C x H x W."""
    if not len(positions):
        return torch.empty(0, 1, 1, 1, dtype=torch.uint8)
    ((images, _),) = split.batches([torch.from_numpy(positions)])
    return images


def _dataset(source: Dataset, splits: Splits, fingerprint: str) -> dict[str, str]:
    """The data set for MLflow's dataset column, with the fingerprint as its digest."""
    sizes = {"train": len(splits.train), "val": len(splits.val), "test": len(splits.test)}
    return {
        "name": source.name,
        "digest": fingerprint,
        "source_type": "code",
        "source": json.dumps({"tags": {"origin": source.origin}}),
        "profile": json.dumps({**sizes, "classes": len(source.class_names)}),
        "context": "train, val, test",
    }
