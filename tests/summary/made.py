"""Sweeps that nobody trained: plans, results and runs in a real store, with numbers of the test's own choosing."""

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pyarrow as pa
from mlflow.entities import Dataset, DatasetInput, Metric, Param
from pyarrow import parquet

from src.config import Tracking
from src.sweep.claim import Claim
from src.sweep.frozen import FrozenCell, FrozenPlan, folder_of
from src.sweep.result import Result
from src.tracking.delivery import deliver
from src.tracking.store import Store, open_store
from src.tracking.sweep import begin
from tests.conftest import config_of

Levels = Mapping[str, str]

CHOICES = {
    "dataset": "digits",
    "augmentation": "none",
    "activation": "relu",
    "norm": "none",
    "model": "cnn",
    "optimizer": "sgd",
    "scheduler": "none",
}
TRACKING = {"uri": None, "experiment": "image-classification", "offline": False}
SPLITS = {"train": 800, "val": 100, "test": 200}
EPOCHS = 4


def store_in(outputs: Path) -> Store:
    """The embedded store of an outputs folder."""
    return open_store(config_of(f"outputs_dir={outputs}"))


def cell_of(levels: Levels, fingerprint: str = "data") -> FrozenCell:
    """A planned cell; `model=cnn_batch` brings its norm."""
    choices = CHOICES | {key: value for key, value in levels.items() if key in CHOICES}
    if choices["model"] == "cnn_batch":
        choices["norm"] = "batch"
    raw = {"seed": 0, "epochs": EPOCHS, "tracking": TRACKING}
    overrides = [f"{key}={value}" for key, value in levels.items()]
    name = " ".join(overrides)
    cell_id = hashlib.sha256((name + fingerprint).encode()).hexdigest()[:12]
    return FrozenCell(cell_id, name, dict(levels), overrides, choices, fingerprint, raw)


def plan_of(factors: Mapping[str, Sequence[str]], sweep: str, skipped: Sequence[Levels] = ()) -> FrozenPlan:
    """The full grid of these factors, without what is skipped."""
    arms = [dict(zip(factors, values, strict=True)) for values in itertools.product(*factors.values())]
    grid = " ".join(f"{key}={','.join(values)}" for key, values in factors.items())
    return FrozenPlan(
        sweep=sweep,
        command=f"python -m src.train -m {grid}",
        created="2026-01-31T12:00:00+00:00",
        versions={},
        sources={},
        data={},
        factors={key: list(values) for key, values in factors.items()},
        cells=[cell_of(arm) for arm in arms if arm not in skipped],
    )


def sweep_of(
    outputs: Path,
    factors: Mapping[str, Sequence[str]],
    accuracy: Callable[[Levels], float | str],
    sweep: str = "20260131-120000-00000000",
    class_names: Sequence[str] = ("ant", "bee", "cat"),
) -> tuple[Path, Store]:
    """A sweep's folder and store.

    Args:
        outputs: where both are.
        factors: what varies.
        accuracy: of the test and validation split, by levels; a word instead is what became of the cell (`failed`,
            `interrupted`, `running`, `not run`).
        sweep: its id.
        class_names: of the data set.
    """
    store = store_in(outputs)
    plan = plan_of(factors, sweep)
    folder = folder_of(outputs) / sweep
    plan.save(folder)
    deliver(begin(Claim.of(folder), plan, Tracking(**plan.cells[0].raw["tracking"])), store)
    for cell in plan.cells:
        outcome = accuracy(cell.levels)
        if outcome == "not run":
            continue
        run_id = run_of(store, cell, outcome, class_names, {"sweep": sweep})
        if outcome != "running":
            status = outcome if isinstance(outcome, str) else "finished"
            reason = None if status == "finished" else "NonFiniteLossError: the loss is nan <b>&</b>"
            Result(cell.id, cell.name, status, reason, run_id).save(folder / cell.id)
    return folder, store


def maker(outputs: Path) -> Callable[..., tuple[Path, Store]]:
    """`sweep_of` in one place, with an id of its own for each sweep."""
    numbers = itertools.count()
    return lambda *about, **more: sweep_of(outputs, *about, sweep=f"20260131-120000-{next(numbers):08}", **more)


def run_of(
    store: Store,
    cell: FrozenCell,
    outcome: float | str,
    class_names: Sequence[str] = ("ant", "bee", "cat"),
    tags: Mapping[str, str] | None = None,
) -> str:
    """The id of a run as `src.tracking.run` leaves it."""
    run = store.client.create_run(
        store.experiment_id, run_name=cell.name, tags={"kind": "cell", "cell": cell.id, **(tags or {})}
    )
    run_id = run.info.run_id
    params = {
        **cell.choices,
        "seed": "0",
        **cell.levels,
        "epochs": str(EPOCHS),
        "num_parameters": str(1000 + 100 * len(cell.choices["model"])),
    }
    store.client.log_batch(run_id, params=[Param(key, value) for key, value in params.items()])
    if isinstance(outcome, str):
        if outcome != "running":
            store.client.set_terminated(run_id, {"failed": "FAILED", "interrupted": "KILLED"}[outcome])
        return str(run_id)
    logged = Dataset("made", cell.fingerprint, "code", "{}", None, json.dumps({**SPLITS, "classes": len(class_names)}))
    store.client.log_inputs(run_id, [DatasetInput(logged)])
    labels, predictions = predicted(outcome, len(class_names))
    metrics = {
        "best/epoch": EPOCHS,
        "best/val_loss": 1 - outcome,
        "best/val_accuracy": outcome,
        "test/accuracy": outcome,
        "test/accuracy_low": max(0.0, outcome - 0.05),
        "test/accuracy_high": min(1.0, outcome + 0.05),
    }
    store.client.log_batch(run_id, metrics=[Metric(key, value, 1, 0) for key, value in metrics.items()])
    artifacts = Path(urlparse(run.info.artifact_uri).path)
    artifacts.mkdir(parents=True)
    epochs = [f"{e},{1 / e},{outcome * e / EPOCHS},0.5\n" for e in range(1, EPOCHS + 1)]
    (artifacts / "history.csv").write_text("number,train_loss,val_accuracy,epoch_s\n" + "".join(epochs))
    write_confusion(artifacts / "confusion.csv", labels, predictions, class_names)
    columns = {"index": np.arange(len(labels)), "label": labels, "prediction": predictions}
    parquet.write_table(pa.table({key: value.astype(np.int32) for key, value in columns.items()}), artifacts / FILE)
    store.client.set_terminated(run_id, "FINISHED")
    return str(run_id)


FILE = "test_predictions.parquet"


def predicted(accuracy: float, num_classes: int):
    """Labels and predictions of the test split, of which a share of about `accuracy` is right: always the same ones."""
    labels = np.arange(SPLITS["test"]) % num_classes
    difficulty = np.random.default_rng(0).permutation(len(labels)) / len(labels)
    return labels, np.where(difficulty < accuracy, labels, (labels + 1) % num_classes)


def write_confusion(path: Path, labels, predictions, class_names: Sequence[str]) -> None:
    import csv

    counts = np.zeros((len(class_names), len(class_names)), dtype=int)
    np.add.at(counts, (labels, predictions), 1)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", *class_names])
        writer.writerows([name, *row] for name, row in zip(class_names, counts.tolist(), strict=True))
