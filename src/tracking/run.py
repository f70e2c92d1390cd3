"""One cell's run in MLflow: what is recorded, and under which names."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pyarrow as pa
import torch
from matplotlib.figure import Figure
from mlflow.entities import Dataset as LoggedDataset
from mlflow.entities import DatasetInput, InputTag, Metric, Param
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT
from numpy.typing import NDArray
from omegaconf import OmegaConf
from pyarrow import parquet
from torch import Tensor, nn

from src.dataset import Dataset, Images, Splits
from src.fit.epoch import Epoch
from src.fit.evaluate import Evaluation
from src.model.summary import Layer
from src.sweep.cell import Cell
from src.tracking import figures, tables
from src.tracking.environment import environment, git_state
from src.tracking.store import Store, as_default

MAX_PARAM_LENGTH = 6000
"""MLflow cuts longer values; they are whole in the resolved configuration."""


@dataclass(frozen=True)
class Run:
    """An open run.

    Attributes:
        id: MLflow's.
        store: where it is kept.
        cell: what it records.
        folder: the cell's own folder; what is written there first is logged from there.
    """

    id: str
    store: Store
    cell: Cell
    folder: Path

    def log_setup(self, source: Dataset, splits: Splits, layers: Sequence[Layer], device: torch.device) -> None:
        """Everything that is known before the first step: parameters, data set, network, environment."""
        num_parameters = sum(layer.num_parameters for layer in layers)
        params = {
            **self.cell.choices,
            **_flat(self.cell.raw),
            "num_parameters": num_parameters,
            "normalize.mean": list(splits.mean),
            "normalize.std": list(splits.std),
            "num_skipped_images": len(splits.skipped),
        }
        pairs = [Param(key, str(value)[:MAX_PARAM_LENGTH]) for key, value in params.items()]
        for start in range(0, len(pairs), 100):  # MLflow's limit of a batch
            self.store.client.log_batch(self.id, params=pairs[start : start + 100])
        self.store.client.log_inputs(self.id, [_dataset_input(source, splits, self.cell.fingerprint)])
        self._text("config.yaml", OmegaConf.to_yaml(OmegaConf.create(self.cell.raw)))
        rows = [(r.name, r.type, "x".join(map(str, r.output_shape)), r.num_parameters) for r in layers]
        self._text("layers.csv", tables.Table(("layer", "type", "output_shape", "parameters"), rows).csv())
        if splits.skipped:
            self._text("skipped_images.txt", "\n".join(splits.skipped) + "\n")
        self._text("environment.yaml", OmegaConf.to_yaml(OmegaConf.create(environment(device))))

    def log_batch(self, images: Tensor, labels: Tensor, names: Sequence[str]) -> None:
        """A picture of a training batch, which shows what augmentation does and whether labels fit their images.

        Args:
            images: augmented but not normalised, float32 in [0, 1], N x C x H x W.
            labels: int64, N.
            names: of the classes.
        """
        self._figure("batch", figures.batch(images, labels, names))

    def log_epoch(self, epoch: Epoch) -> None:
        """An epoch's measurements, as metrics at its step."""
        self._metrics(
            {
                "train/loss": epoch.train_loss,
                "train/accuracy": epoch.train_accuracy,
                "val/loss": epoch.val_loss,
                "val/accuracy": epoch.val_accuracy,
                "lr": epoch.lr,
                "time/epoch_s": epoch.epoch_s,
                **({"train/penalty": epoch.penalty} if self.cell.config.l2 else {}),
            },
            step=epoch.number,
        )

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
        self._metrics(
            {
                "stop/epoch": history[-1].number,
                "best/epoch": best.number,
                "best/val_loss": best.val_loss,
                "best/val_accuracy": best.val_accuracy,
                **evaluation.metrics(),
            },
            step=0,
        )
        mistaken = _images(test, evaluation.mistakes[: figures.MAX_MISTAKES])
        self._figure("curves", figures.curves(history, self.cell.name))
        self._figure("confusion", figures.confusion(evaluation, names))
        self._figure("roc", figures.roc(evaluation, names))
        self._figure("precision_recall", figures.precision_recall(evaluation, names))
        self._figure("reliability", figures.reliability(evaluation))
        self._figure("mistakes", figures.mistakes(evaluation, mistaken, names))
        for name, table in tables.of_result(history, evaluation, names).items():
            self._text(name, table.csv())
        self._predictions(evaluation, names)

    def log_checkpoint(self, path: Path) -> None:
        self.store.client.log_artifact(self.id, str(path), "checkpoints")

    def log_model(self, model: nn.Module, example: NDArray[np.float32]) -> None:
        """The network as a loadable MLflow model (pt2), which needs neither this project nor pickle.

        Args:
            model: on the CPU, in eval mode, a copy: exporting changes it.
            example: float32 in [0, 1], N x C x H x W, with N of 2 or more: 1 would freeze the batch size.
        """
        requirements = [f"torch=={torch.__version__.split('+')[0]}", f"numpy=={np.__version__}"]
        mlflow.pytorch.log_model(model, name="model", input_example=example, pip_requirements=requirements)

    def _metrics(self, metrics: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        self.store.client.log_batch(self.id, [Metric(key, float(value), now, step) for key, value in metrics.items()])

    def _text(self, name: str, text: str) -> None:
        self.store.client.log_text(self.id, text, name)

    def _figure(self, name: str, figure: Figure) -> None:
        self.store.client.log_image(self.id, figures.picture(figure), f"figures/{name}.png")

    def _predictions(self, evaluation: Evaluation, names: Sequence[str]) -> None:
        """test_predictions.parquet: index, label, prediction, and one column of probabilities a class."""
        columns: dict[str, Any] = {
            "index": np.arange(len(evaluation.labels), dtype=np.int32),
            "label": evaluation.labels.astype(np.int32),
            "prediction": evaluation.predictions.astype(np.int32),
            **{f"p_{name}": evaluation.probabilities[:, k] for k, name in enumerate(names)},
        }
        path = self.folder / "test_predictions.parquet"
        parquet.write_table(pa.table(columns), path, compression="zstd")
        self.store.client.log_artifact(self.id, str(path))


@contextmanager
def open_run(store: Store, cell: Cell, folder: Path) -> Iterator[Run]:
    """The cell's run, which ends FINISHED, FAILED with the reason as a tag, or KILLED by Ctrl-C."""
    sweep = cell.sweep
    tags = {"kind": "cell", "cell": cell.id, **git_state(), **({"sweep": sweep.id} if sweep else {})}
    with as_default(store):
        active = mlflow.start_run(
            experiment_id=store.experiment_id,
            run_name=cell.name,
            tags=tags,
            parent_run_id=sweep.parent_run_id if sweep else None,
        )
        status = "FAILED"
        try:
            yield Run(active.info.run_id, store, cell, folder)
            status = "FINISHED"
        except BaseException as error:
            status = "FAILED" if isinstance(error, Exception) else "KILLED"
            store.client.set_tag(active.info.run_id, "reason", f"{type(error).__name__}: {error}"[:5000])
            raise
        finally:
            mlflow.end_run(status)


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
    """A nested mapping with dotted keys. Builders are left out: the choices name them."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif key != "_target_":
            flat[f"{prefix}{key}"] = value
    return flat
