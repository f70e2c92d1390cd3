"""The files of runs, read from this disk if they are on it, else fetched from the server that keeps them."""

import csv
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from pyarrow import parquet

from image_sweeps.report.record import Confusion, History, Predictions
from image_sweeps.tracking.journal import Journal
from image_sweeps.tracking.recorded_runs import stored_file
from image_sweeps.tracking.store import Store

NUM_CONNECTIONS = 8


class RunFiles:
    """The artifacts of some runs, an implementation of `image_sweeps.report.record.Artifacts`.

    Args:
        store: the store of the runs, or None if it is not available.
        journals: the journals of the runs that were recorded on this disk, by run id.
        folder: the folder that files are fetched to.
    """

    def __init__(self, store: Store | None, journals: Mapping[str, Journal], folder: Path) -> None:
        self.store = store
        self.journals = journals
        self.folder = folder

    def histories(self, run_ids: Sequence[str]) -> dict[str, History]:
        """Return the histories, from journals if there are any: a file from a server takes a hundred times as long."""
        found = {run_id: _recorded(self.journals[run_id]) for run_id in run_ids if run_id in self.journals}
        others = [run_id for run_id in run_ids if run_id not in found]
        with ThreadPoolExecutor(NUM_CONNECTIONS) as pool:
            paths = pool.map(lambda run_id: self._file(run_id, "history.csv"), others)
            return found | {run_id: _history(path) for run_id, path in zip(others, paths, strict=True) if path}

    def confusion(self, run_id: str) -> Confusion | None:
        path = self._file(run_id, "confusion.csv")
        if path is None:
            return None
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            names = next(rows)[1:]
            # row by row: with thousands of classes, the text takes twenty times the memory of its numbers
            return Confusion(names, np.array([np.array(row[1:], dtype=np.int64) for row in rows]))

    def predictions(self, run_id: str) -> Predictions | None:
        path = self._file(run_id, "test_predictions.parquet")
        if path is None:
            return None
        table = parquet.read_table(path, columns=["index", "label", "prediction"])
        return Predictions(*(table[name].to_numpy() for name in ("index", "label", "prediction")))

    def _file(self, run_id: str, name: str) -> Path | None:
        """Return the path of the file, or None if the run has no such file."""
        if run_id in self.journals and (path := self.journals[run_id].file(name)):
            return path  # not delivered yet
        if self.store is None:
            return None
        return stored_file(self.store, run_id, name, self.folder)


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def _recorded(journal: Journal) -> History:
    """Return the history of a run from its journal."""
    measured: dict[str, dict[int, float]] = {"train/loss": {}, "val/accuracy": {}, "time/epoch_s": {}}
    for entry in journal.entries():
        for key, value, _, step in entry.get("metrics", ()):
            if key in measured:
                measured[key][step] = value
    steps = sorted(measured["val/accuracy"])
    columns = [np.array([values[step] for step in steps], dtype=np.float64) for values in measured.values()]
    return History(np.array(steps, dtype=np.int64), *columns)


def _history(path: Path) -> History:
    header, *rows = _rows(path)
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    return History(
        epoch=np.array(columns["number"], dtype=np.int64),
        train_loss=np.array(columns["train_loss"], dtype=np.float64),
        val_accuracy=np.array(columns["val_accuracy"], dtype=np.float64),
        epoch_s=np.array(columns["epoch_s"], dtype=np.float64),
    )
