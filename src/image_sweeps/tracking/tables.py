"""The numbers behind the figures of a cell, as CSV tables."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from image_sweeps.fit.epoch import Epoch
from image_sweeps.fit.evaluate import Evaluation
from image_sweeps.fit.threshold_curves import Curve

DIGITS = 6  # decimals of the points of a curve; areas are written in full


class Table(NamedTuple):
    """A header, and rows of the same length."""

    header: Sequence[str]
    rows: Iterable[Sequence[Any]]

    def csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.header)
        writer.writerows(self.rows)
        return text.getvalue()


def of_result(history: Sequence[Epoch], evaluation: Evaluation, names: Sequence[str]) -> Mapping[str, Table]:
    """Return the tables of a cell that has been tested, by the names of their files."""
    e, c = evaluation, evaluation.calibration
    per_class = (names, e.precision, e.recall, e.f1, e.roc_auc, e.average_precision, e.support)
    per_bin = (c.edges[:-1], c.edges[1:], c.confidence, c.accuracy, c.accuracy_low, c.accuracy_high, c.count)
    mistakes = [(i, names[e.labels[i]], names[e.predictions[i]], e.confidence[i]) for i in e.mistakes]
    return {
        "history.csv": Table(tuple(asdict(history[0])), [tuple(asdict(epoch).values()) for epoch in history]),
        "confusion.csv": Table(("label", *names), [(n, *row) for n, row in zip(names, e.confusion, strict=True)]),
        "per_class.csv": Table(
            ("class", "precision", "recall", "f1", "roc_auc", "average_precision", "support"),
            zip(*per_class, strict=True),
        ),
        "roc.csv": Table(("class", "false_positive_rate", "true_positive_rate"), _points(e.roc, names)),
        "precision_recall.csv": Table(("class", "recall", "precision"), _points(e.precision_recall, names)),
        "calibration.csv": Table(
            ("from", "to", "confidence", "accuracy", "accuracy_low", "accuracy_high", "count"),
            zip(*per_bin, strict=True),
        ),
        "mistakes.csv": Table(("index", "label", "prediction", "confidence"), mistakes),
    }


def _points(curves: Sequence[Curve], names: Sequence[str]) -> list[tuple[str, float, float]]:
    return [
        (name, x, y)
        for name, curve in zip(names, curves, strict=True)
        for x, y in zip(curve.x.round(DIGITS).tolist(), curve.y.round(DIGITS).tolist(), strict=True)
    ]
