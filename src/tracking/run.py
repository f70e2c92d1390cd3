"""One cell's run in MLflow: what is recorded, and under which names."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.entities import Dataset as LoggedDataset
from mlflow.entities import DatasetInput, InputTag, LoggedModel, LoggedModelStatus, Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT
from numpy.typing import NDArray
from torch import Tensor, nn

from src.config import SWEEP_KEYS
from src.dataset import Dataset, Images, Splits
from src.fit.epoch import Epoch
from src.fit.evaluate import Evaluation
from src.interrupt import Interrupted
from src.model.summary import Layer
from src.summary.commands import of_cell
from src.sweep.cell import Cell
from src.tracking import figures, tables
from src.tracking.environment import environment, git_state
from src.tracking.files import artifacts
from src.tracking.store import MAX_PARAM_LENGTH, REASON, Store, as_default, settle

MAX_METRICS = 1000
"""MLflow's limit of a batch."""


@dataclass(frozen=True)
class Run:
    """An open run.

    Attributes:
        id: MLflow's.
        store: where it is kept.
        cell: what it records.
    """

    id: str
    store: Store
    cell: Cell

    def log_setup(self, source: Dataset, splits: Splits, layers: Sequence[Layer], device: torch.device) -> None:
        """Everything that is known before the first step: parameters, data set, network, environment."""
        num_parameters = sum(layer.num_parameters for layer in layers)
        recorded = self.store.client.get_run(self.id).data.params  # of the attempt that this one goes on from
        params = {
            **self.cell.choices,
            **_flat(self.cell.raw),
            "num_parameters": num_parameters,
            "normalize.mean": list(splits.mean),
            "normalize.std": list(splits.std),
            "num_skipped_images": len(splits.skipped),
        }
        pairs = [Param(key, str(value)[:MAX_PARAM_LENGTH]) for key, value in params.items() if key not in recorded]
        for start in range(0, len(pairs), 100):  # MLflow's limit of a batch
            self.store.client.log_batch(self.id, params=pairs[start : start + 100])
        logged = [_dataset_input(source, splits, self.cell.fingerprint)]
        try:
            self.store.client.log_inputs(self.id, logged)
        except MlflowException:  # another cell added the same data set at the same moment; now it is found
            self.store.client.log_inputs(self.id, logged)
        rows = [(r.name, r.type, "x".join(map(str, r.output_shape)), r.num_parameters) for r in layers]
        with artifacts(self.store, self.id) as files:
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
        with artifacts(self.store, self.id) as files:
            files.figure("batch", figures.batch(images, labels, names))

    def log_epochs(self, epochs: Sequence[Epoch]) -> None:
        """Epochs' measurements, as metrics at their steps; one that is recorded already stays as it is."""
        metrics = [
            Metric(key, float(value), epoch.ended_ms, epoch.number)
            for epoch in epochs
            for key, value in self._measured(epoch).items()
        ]
        for start in range(0, len(metrics), MAX_METRICS):
            self.store.client.log_batch(self.id, metrics[start : start + MAX_METRICS])

    def _measured(self, epoch: Epoch) -> dict[str, float]:
        return {
            "train/loss": epoch.train_loss,
            "train/accuracy": epoch.train_accuracy,
            "val/loss": epoch.val_loss,
            "val/accuracy": epoch.val_accuracy,
            "lr": epoch.lr,
            "time/epoch_s": epoch.epoch_s,
            **({"train/penalty": epoch.penalty} if self.cell.config.l2 else {}),
        }

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
        self.store.client.log_batch(self.id, [Metric(key, float(v), ended_ms, step=0) for key, v in metrics.items()])
        mistaken = _images(test, evaluation.mistakes[: figures.MAX_MISTAKES])
        with artifacts(self.store, self.id) as files:
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
        self.store.client.log_artifact(self.id, str(path), "checkpoints")

    def log_model(self, model: nn.Module, example: NDArray[np.float32]) -> None:
        """The network as a loadable MLflow model (pt2), which needs neither this project nor pickle.

        Args:
            model: on the CPU, in eval mode, a copy: exporting changes it.
            example: float32 in [0, 1], N x C x H x W, with N of 2 or more: 1 would freeze the batch size.
        """
        if any(output.status == LoggedModelStatus.READY for output in self._models()):
            return  # an earlier attempt came as far as this
        requirements = [f"torch=={torch.__version__.split('+')[0]}", f"numpy=={np.__version__}"]
        mlflow.pytorch.log_model(model, name="model", input_example=example, pip_requirements=requirements)

    def _models(self) -> list[LoggedModel]:
        """The models that this run has logged."""
        outputs = self.store.client.get_run(self.id).outputs
        return [self.store.client.get_logged_model(o.model_id) for o in (outputs.model_outputs if outputs else [])]


@contextmanager
def open_run(store: Store, cell: Cell) -> Iterator[Run]:
    """The cell's run, which ends FINISHED, or with the reason as a tag: FAILED, or KILLED where it was interrupted.

    A cell that was begun before goes on in the same run.
    """
    with as_default(store):
        active = (
            mlflow.start_run(run_id=cell.sweep.run_id) if cell.sweep and cell.sweep.run_id else _new_run(store, cell)
        )
        if REASON in active.data.tags:
            store.client.delete_tag(active.info.run_id, REASON)
        status = "FAILED"
        try:
            yield Run(active.info.run_id, store, cell)
            status = "FINISHED"
        except BaseException as error:
            if isinstance(error, Interrupted | KeyboardInterrupt):
                status = "KILLED"
            store.client.set_tag(active.info.run_id, REASON, f"{type(error).__name__}: {error}"[:5000])
            raise
        finally:
            mlflow.end_run(status)
            if not cell.sweep:
                settle(store)


def _new_run(store: Store, cell: Cell) -> mlflow.ActiveRun:
    tags = {"kind": "cell", "cell": cell.id, "varied": json.dumps(cell.levels), **git_state()}
    if cell.sweep:
        tags["sweep"] = cell.sweep.id
    return mlflow.start_run(
        experiment_id=store.experiment_id,
        run_name=cell.name,
        tags=tags,
        parent_run_id=cell.sweep.parent_run_id if cell.sweep else None,
    )


def _images(split: Images, positions: NDArray[np.intp]) -> Tensor:
    """Some of a split's images, uint8, n x C x H x W."""
    if not len(positions):
        return torch.empty(0, 1, 1, 1, dtype=torch.uint8)
    ((images, _),) = split.batches([torch.from_numpy(positions)])
    return images


def _dataset_input(source: Dataset, splits: Splits, fingerprint: str) -> DatasetInput:
    """The data set for MLflow's dataset column, with the fingerprint as its digest."""
    sizes = {"train": len(splits.train), "val": len(splits.val), "test": len(splits.test)}
    logged = LoggedDataset(
        name=source.name,
        digest=fingerprint,
        source_type="code",
        source=json.dumps({"tags": {"origin": source.origin}}),
        profile=json.dumps({**sizes, "classes": len(source.class_names)}),
    )
    return DatasetInput(logged, [InputTag(MLFLOW_DATASET_CONTEXT, "train, val, test")])


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping with dotted keys. Builders are left out: the choices name them; so is how the sweep was run."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif key != "_target_" and key not in SWEEP_KEYS:
            flat[f"{prefix}{key}"] = value
    return flat
