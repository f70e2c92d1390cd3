"""Records of cells that nobody trained, without a store."""

import itertools

from image_sweeps.cell.status import CellStatus
from image_sweeps.report.design import Design
from image_sweeps.report.record import Record, Subject
from image_sweeps.report.summarise import summarise


def record(levels, accuracy=0.5, status=CellStatus.FINISHED, **choices):
    return Record(
        id="-".join(levels.values()),
        name=" ".join(f"{key}={value}" for key, value in levels.items()),
        levels=levels,
        status=CellStatus(status),
        reason=None,
        run_id="run",
        command="",
        choices=choices,
        fingerprint="data",
        params={"num_parameters": "7", "seed": "0"},
        metrics=metrics_of(accuracy) if status == CellStatus.FINISHED else {},
        num_images={"train": 80, "val": 10, "test": 20},
    )


def subject(*records):
    keys = dict.fromkeys(key for r in records for key in r.levels)
    factors = {key: list(dict.fromkeys(r.levels[key] for r in records)) for key in keys}
    return Subject("title", "sweep", "experiment", None, None, None, factors, records)


def metrics_of(accuracy):
    """Of a cell with this accuracy, of the test and the validation split or, given as a pair, of each."""
    test, val = accuracy if isinstance(accuracy, tuple) else (accuracy, accuracy)
    return {
        "test/accuracy": test,
        "test/accuracy_low": test - 0.05,
        "test/accuracy_high": test + 0.05,
        "best/val_accuracy": val,
        "best/val_loss": 1 - val,
        "best/epoch": 3.0,
    }


class NoFiles:
    """Runs whose artifacts are gone."""

    def histories(self, run_ids):
        return {}

    def confusion(self, run_id):
        return None

    def predictions(self, run_id):
        return None


def summary_of(factors, outcome):
    """The summary of a full grid; `outcome` gives the accuracy of the cell with these levels, or what became of it."""
    cells = []
    for values in itertools.product(*factors.values()):
        levels = dict(zip(factors, values, strict=True))
        result = outcome(levels)
        cells.append(record(levels, status=result) if isinstance(result, str) else record(levels, result))
    about = Subject("title", "some-id", "experiment", None, "python -m src.train -m x=1", None, factors, cells)
    return summarise(about, Design.of(about), {}, NoFiles())
