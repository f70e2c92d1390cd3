"""Means over few replicates, and their uncertainty.

Settings are fixed, replicates (seeds, folds) are drawn: the question is always what other replicates would have given.
So the sample size is the number of replicates. Values that share a replicate are not independent, even after the
effects of their settings are removed: on 160 cells of digits (2 networks, 2 learning rates, 2 activations, 20 seeds),
the differences that one seed made in different combinations correlated with 0.12 to 0.36 on average, and the mean of
four such differences varied 1.2 to 2.0 times as much as with independence. A test that counts every difference would
find too much. Here differences are averaged within each replicate first; the price is few degrees of freedom.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit
from scipy.stats import binomtest

CONFIDENCE = 0.95

SAME = 1e-9
"""The standard error below which all replicates agree up to rounding, and do not show how far others deviate."""


@dataclass(frozen=True)
class Estimate:
    """A mean over replicates.

    Attributes:
        mean: the mean.
        low, high: its 95% interval as computed, which may extend beyond 0 and 1 for an accuracy. None if the replicates
            do not show how far others would deviate: there is only one, or they all agree.
        p: the two-sided p-value for a true mean of 0; None if there is no interval.
        df: the degrees of freedom; None if there is no interval.
        num_replicates: the largest number of replicates in any combination.
        num_combinations: the number of combinations of other settings in the mean.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    df: float | None
    num_replicates: int
    num_combinations: int

    @property
    def constant(self) -> bool:
        """Whether all replicates, of which there are several, agree up to rounding."""
        return self.num_replicates > 1 and self.df is None


def estimate(values_KR: NDArray[np.float64], overlap: float = 0.0) -> Estimate | None:
    """Return the mean over K fixed combinations of the mean over R replicates, with its t interval.

    If no value is missing, this is the one-sample t test of the R means over combinations (Student, 1908). If values
    are missing, deviations from the means of combinations are summed within each replicate and then squared, as in a
    cluster-robust variance (Liang and Zeger, 1986). The deviations in a combination of n values are scaled by
    sqrt(n / (n - 1)), and the degrees of freedom are the mean of n - 1. Combinations with one value are left out if
    others have more.

    The test assumes that replicates are independent, and that their means over combinations are approximately normal.

    Args:
        values_KR: float64, K x R; NaN if a value is missing. One column is one replicate in all combinations.
        overlap: the number of test images per training image if each replicate is another split of the same images, so
            that training sets overlap: the variance s^2 / R becomes s^2 (1 / R + overlap) (Nadeau and Bengio, 2003). 0
            if all replicates share one split.

    Returns: the estimate, or None if there is no value at all.
    """
    counts_K = np.isfinite(values_KR).sum(1)
    rows = counts_K >= min(2, counts_K.max(initial=0))
    rows &= counts_K > 0
    if not rows.any():
        return None
    values_KR, counts_K = values_KR[rows], counts_K[rows]
    num_rows = len(counts_K)
    means_K = np.nansum(values_KR, 1) / counts_K
    mean, size = float(means_K.mean()), float(counts_K.mean())
    found = Estimate(mean, None, None, None, None, int(counts_K.max()), num_rows)
    if size == 1:
        return found
    weights_K = np.sqrt(counts_K / (counts_K - 1)) / (num_rows * counts_K)
    deviations_R = np.nansum((values_KR - means_K[:, None]) * weights_K[:, None], 0)
    error = float(np.sqrt((deviations_R**2).sum() * (1 + size * overlap)))
    if error < SAME:
        return found
    half = float(stdtrit(size - 1, (1 + CONFIDENCE) / 2)) * error
    p = 2 * float(stdtr(size - 1, -abs(mean) / error))
    return Estimate(mean, mean - half, mean + half, p, size - 1, found.num_replicates, num_rows)


def interval_factor(num_replicates: int) -> float:
    """Return half the width of the 95% interval of a mean of `num_replicates` values, in their standard deviations."""
    return float(stdtrit(num_replicates - 1, (1 + CONFIDENCE) / 2) / np.sqrt(num_replicates))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p-values corrected for multiple testing (Holm, 1979). None means not tested, and does not count.

    With a probability of at least 95%, no true null hypothesis has a corrected p-value below 0.05, however the tests
    depend on one another.
    """
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - rank) * p))
        corrected[place] = highest
    return corrected


def mcnemar(right_a_N: NDArray[np.bool_], right_b_N: NDArray[np.bool_]) -> tuple[int, int, float]:
    """Test whether two networks are right equally often on the same images (McNemar, 1947; the exact test).

    The test assumes that the images are a random sample, and takes the networks as fixed.

    Args:
        right_a_N: bool, N; whether network a was right, by image.
        right_b_N: bool, N; whether network b was right, by image.

    Returns: the number of images that only a got right, the number that only b got right, and the two-sided p-value.
    """
    only_a, only_b = int((right_a_N & ~right_b_N).sum()), int((right_b_N & ~right_a_N).sum())
    if only_a + only_b == 0:
        return 0, 0, 1.0
    return only_a, only_b, float(binomtest(only_a, only_a + only_b).pvalue)
