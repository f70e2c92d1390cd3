"""Whether a class's own images get higher scores for it than all others: ROC and precision-recall curves.

Each class stands against the rest. Areas are exact; of the curves themselves few points are kept, for figures and
tables.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

MAX_POINTS = 200

Points = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Curve:
    """One class's curve.

    Attributes:
        x: ascending, at most MAX_POINTS of the curve's points; none where the class has no curve, because every image
            belongs to it, or none does.
        y: as many.
        area: of the whole curve; NaN where there is none.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    area: float


def roc(labels_N: NDArray[np.int64], scores_NK: NDArray[np.float64]) -> tuple[Curve, ...]:
    """True positive rate over false positive rate, for every threshold.

    The area is the probability that a random image of the class outranks a random one of the rest, ties counting half.
    """

    def curve(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[Points, float]:
        x, y, _ = roc_curve(positive, scores)
        return (x, y), auc(x, y)

    return _one_vs_rest(curve, labels_N, scores_NK)


def precision_recall(labels_N: NDArray[np.int64], scores_NK: NDArray[np.float64]) -> tuple[Curve, ...]:
    """Precision over recall, for every threshold.

    The area is the average precision: the mean of precision over recall's steps, without interpolation.
    """

    def curve(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[Points, float]:
        y, x, _ = precision_recall_curve(positive, scores, drop_intermediate=True)
        return (x[::-1], y[::-1]), average_precision_score(positive, scores)

    return _one_vs_rest(curve, labels_N, scores_NK)


def areas(curves: tuple[Curve, ...]) -> NDArray[np.float64]:
    """The area of each class, K; NaN for a class that has no curve."""
    return np.array([curve.area for curve in curves])


def macro(areas_K: NDArray[np.float64]) -> float:
    """The mean over the classes that have a curve; NaN where none has."""
    defined = areas_K[~np.isnan(areas_K)]
    return float(defined.mean()) if len(defined) else float("nan")


def _one_vs_rest(
    curve: Callable[[NDArray[np.bool_], NDArray[np.float64]], tuple[Points, float]],
    labels_N: NDArray[np.int64],
    scores_NK: NDArray[np.float64],
) -> tuple[Curve, ...]:
    """The curve of each class in turn."""
    curves = []
    for k, scores in enumerate(scores_NK.T):
        positive = labels_N == k
        if positive.all() or not positive.any():
            curves.append(Curve(np.empty(0), np.empty(0), float("nan")))
            continue
        (x, y), area = curve(positive, scores)
        kept = _thinned(x, y)
        curves.append(Curve(x[kept], y[kept], float(area)))
    return tuple(curves)


def _thinned(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which points to keep: the ends, and between them those nearest to equal steps along the curve."""
    if len(x) <= MAX_POINTS:
        return np.arange(len(x))
    along = np.concatenate(([0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))))
    kept = np.searchsorted(along, np.linspace(0, along[-1], MAX_POINTS))
    return np.unique(np.append(kept[:-1], len(x) - 1))
