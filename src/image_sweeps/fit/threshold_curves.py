"""ROC and precision-recall curves: whether images of a class get higher scores for the class than all other images.

Each class is compared with the rest. Areas are exact. Only a few points of each curve are kept, for figures and tables.
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
    """The curve of one class.

    Attributes:
        x: abscissas in [0, 1], ascending, of at most MAX_POINTS points; empty if the class has no curve, because all
            images or no images belong to it.
        y: ordinates of the same points, in [0, 1].
        area: area under the whole curve; NaN if the class has no curve.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    area: float


def roc(labels_N: NDArray[np.int64], scores_NK: NDArray[np.float64]) -> tuple[Curve, ...]:
    """Return the curve of true positive rate over false positive rate for each class, K.

    The area is the probability that a random image of the class outranks a random one of the rest; ties count half.
    """

    def curve(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[Points, float]:
        x, y, _ = roc_curve(positive, scores)
        return (x, y), auc(x, y)

    return _one_vs_rest(curve, labels_N, scores_NK)


def precision_recall(labels_N: NDArray[np.int64], scores_NK: NDArray[np.float64]) -> tuple[Curve, ...]:
    """Return the curve of precision over recall for each class, K.

    The area is the average precision: the mean of precision over the steps of recall, without interpolation.
    """

    def curve(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[Points, float]:
        y, x, _ = precision_recall_curve(positive, scores, drop_intermediate=True)
        return (x[::-1], y[::-1]), average_precision_score(positive, scores)

    return _one_vs_rest(curve, labels_N, scores_NK)


def areas(curves: tuple[Curve, ...]) -> NDArray[np.float64]:
    """Return the area of each curve, K; NaN for a class that has no curve."""
    return np.array([curve.area for curve in curves])


def macro(areas_K: NDArray[np.float64]) -> float:
    """Return the mean of the areas over the classes that have a curve; NaN if none has."""
    defined = areas_K[~np.isnan(areas_K)]
    return float(defined.mean()) if len(defined) else float("nan")


def _one_vs_rest(
    curve: Callable[[NDArray[np.bool_], NDArray[np.float64]], tuple[Points, float]],
    labels_N: NDArray[np.int64],
    scores_NK: NDArray[np.float64],
) -> tuple[Curve, ...]:
    """Return the curve of each class against the rest, K."""
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
    """Return the indices of the points to keep: both ends, and points at nearly equal steps along the curve."""
    if len(x) <= MAX_POINTS:
        return np.arange(len(x))
    along = np.concatenate(([0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))))
    kept = np.searchsorted(along, np.linspace(0, along[-1], MAX_POINTS))
    return np.unique(np.append(kept[:-1], len(x) - 1))
