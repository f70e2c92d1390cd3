"""The calibration of a network: whether its accuracy agrees with its confidence.

Guo et al., On Calibration of Modern Neural Networks, 2017 (arXiv:1706.04599).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

NUM_BINS = 15  # Guo et al.


@dataclass(frozen=True)
class Calibration:
    """Images binned by the confidence in their predicted class. A bin without images has NaN instead of means.

    Attributes:
        ece: expected calibration error, sum over the bins of count / N * |accuracy - confidence|, in [0, 1].
        edges: edges of the bins in [0, 1], NUM_BINS + 1; a bin includes its upper edge and excludes its lower edge.
        confidence: mean confidence per bin.
        accuracy, accuracy_low, accuracy_high: share of correct predictions per bin, and its 95% Wilson interval.
        count: images per bin.
    """

    ece: float
    edges: NDArray[np.float64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    accuracy_low: NDArray[np.float64]
    accuracy_high: NDArray[np.float64]
    count: NDArray[np.int64]


def calibration(confidence_N: NDArray[np.float64], right_N: NDArray[np.bool_]) -> Calibration:
    """Return the expected calibration error and the bins that it is computed from.

    Args:
        confidence_N: the probability of the predicted class of each image, in (0, 1].
        right_N: whether the predicted class is the label.
    """
    edges = np.linspace(0, 1, NUM_BINS + 1)
    bins = np.digitize(confidence_N, edges[1:-1], right=True)
    count, num_right, total = (
        np.bincount(bins, weights, NUM_BINS) for weights in (None, right_N.astype(np.float64), confidence_N)
    )
    divisor = np.where(count > 0, count, np.nan)
    intervals = [wilson(int(right), int(of)) for right, of in zip(num_right, count, strict=True)]
    return Calibration(
        ece=float(np.abs(num_right - total).sum() / len(confidence_N)),
        edges=edges,
        confidence=total / divisor,
        accuracy=num_right / divisor,
        accuracy_low=np.array([low for low, _ in intervals]),
        accuracy_high=np.array([high for _, high in intervals]),
        count=count.astype(np.int64),
    )


def wilson(num_right: int, num_images: int) -> tuple[float, float]:
    """Return the bounds of the 95% interval of an accuracy, in [0, 1] (Wilson, 1927); NaN if there are no images."""
    if num_images == 0:
        return float("nan"), float("nan")
    interval = binomtest(num_right, num_images).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
