"""Sweeps that nobody trained: plans, results and runs in a real store, with numbers of the test's own choosing."""

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from image_sweeps.cell.claim import Claim
from image_sweeps.cell.result import Result
from image_sweeps.cell.saved_plan import SavedCell, SavedPlan, sweeps_dir
from image_sweeps.cell.status import CellStatus
from image_sweeps.config.schema import Tracking
from image_sweeps.tracking.delivery import deliver
from image_sweeps.tracking.journal import Journal
from image_sweeps.tracking.store import Store, open_store
from image_sweeps.tracking.sweep_run import begin
from tests.support.configurations import config_of
from tests.support.empty_store import with_store

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
    return open_store(config_of(f"outputs_dir={with_store(outputs)}"))


def cell_of(levels: Levels, fingerprint: str = "data") -> SavedCell:
    """A planned cell; `model=cnn_batch` brings its norm."""
    choices = CHOICES | {key: value for key, value in levels.items() if key in CHOICES}
    if choices["model"] == "cnn_batch":
        choices["norm"] = "batch"
    raw = {"seed": 0, "epochs": EPOCHS, "tracking": TRACKING}
    overrides = [f"{key}={value}" for key, value in levels.items()]
    name = " ".join(overrides)
    cell_id = hashlib.sha256((name + fingerprint).encode()).hexdigest()[:12]
    return SavedCell(cell_id, name, dict(levels), overrides, choices, fingerprint, raw)


def plan_of(factors: Mapping[str, Sequence[str]], sweep: str, skipped: Sequence[Levels] = ()) -> SavedPlan:
    """The full grid of these factors, without what is skipped."""
    arms = [dict(zip(factors, values, strict=True)) for values in itertools.product(*factors.values())]
    grid = " ".join(f"{key}={','.join(values)}" for key, values in factors.items())
    return SavedPlan(
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
    folder = sweeps_dir(outputs) / sweep
    plan.save(folder)
    deliver(begin(Claim.acquire(folder), plan, Tracking(**plan.cells[0].raw["tracking"])), store)
    for cell in plan.cells:
        outcome = accuracy(cell.levels)
        if outcome == "not run":
            continue
        run_id = run_of(store, folder / cell.id, cell, outcome, class_names, {"sweep": sweep})
        if outcome != "running":
            status = CellStatus(outcome) if isinstance(outcome, str) else CellStatus.FINISHED
            reason = None if status is CellStatus.FINISHED else "NonFiniteLossError: the loss is nan <b>&</b>"
            Result(cell.id, cell.name, status, reason, run_id).save(folder / cell.id)
    return folder, store


def maker(outputs: Path) -> Callable[..., tuple[Path, Store]]:
    """`sweep_of` in one place, with an id of its own for each sweep."""
    numbers = itertools.count()
    return lambda *about, **more: sweep_of(outputs, *about, sweep=f"20260131-120000-{next(numbers):08}", **more)


def run_of(
    store: Store,
    home: Path,
    cell: SavedCell,
    outcome: float | str,
    class_names: Sequence[str] = ("ant", "bee", "cat"),
    tags: Mapping[str, str] | None = None,
) -> str:
    """The id of a run as `image_sweeps.tracking.cell_run` leaves it, recorded in the folder `home` and delivered."""
    journal = Journal(home)
    tracking = Tracking(**cell.raw["tracking"])
    journal.begin(cell.name, {"kind": "cell", "cell": cell.id, **(tags or {})}, tracking, nested=False)
    num_parameters = 1000 + 100 * len(cell.choices["model"])
    journal.params({**cell.choices, "seed": 0, **cell.levels, "epochs": EPOCHS, "num_parameters": num_parameters})
    if isinstance(outcome, float):
        _trained(journal, cell, outcome, class_names)
    if outcome != "running":
        journal.end(CellStatus(outcome) if isinstance(outcome, str) else CellStatus.FINISHED)
    deliver(journal, store)
    return str(journal.progress.run_id)


def _trained(journal: Journal, cell: SavedCell, accuracy: float, class_names: Sequence[str]) -> None:
    """All that a cell of this accuracy records."""
    profile = json.dumps({**SPLITS, "classes": len(class_names)})
    journal.dataset(
        name="made", digest=cell.fingerprint, source_type="code", source="{}", profile=profile, context="training"
    )
    epochs = [(epoch, 1 / epoch, accuracy * epoch / EPOCHS, 0.5) for epoch in range(1, EPOCHS + 1)]
    for number, *values in epochs:
        keys = ("train/loss", "val/accuracy", "time/epoch_s")
        journal.metrics([(key, value, 1, number) for key, value in zip(keys, values, strict=True)])
    metrics = {
        "best/epoch": EPOCHS,
        "best/val_loss": 1 - accuracy,
        "best/val_accuracy": accuracy,
        "test/accuracy": accuracy,
        "test/accuracy_low": max(0.0, accuracy - 0.05),
        "test/accuracy_high": min(1.0, accuracy + 0.05),
    }
    journal.metrics([(key, value, 1, 0) for key, value in metrics.items()])
    labels, predictions = predicted(accuracy, len(class_names))
    with journal.files() as artifacts:
        rows = [",".join(map(str, epoch)) + "\n" for epoch in epochs]
        (artifacts / "history.csv").write_text("number,train_loss,val_accuracy,epoch_s\n" + "".join(rows))
        write_confusion(artifacts / "confusion.csv", labels, predictions, class_names)
        columns = {"index": np.arange(len(labels)), "label": labels, "prediction": predictions}
        parquet.write_table(pa.table({key: value.astype(np.int32) for key, value in columns.items()}), artifacts / FILE)


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
