"""Means over few replicates, and how sure one can be of them.

Settings are fixed, replicates (seeds, folds) are drawn: the question is always what other replicates would have given.
So replicates are what is counted. Values that share a replicate are not independent, not even after their settings'
effects are taken out: on 160 cells of digits (2 networks, 2 learning rates, 2 activations, 20 seeds) the differences
that one seed made in different combinations correlated with 0.12 to 0.36 on average, and the mean of four such
differences varied 1.2 to 2.0 times as much as independent ones would have. A test that counts every difference would
find too much. Here they are averaged within each replicate first; the price is few degrees of freedom.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit
from scipy.stats import binomtest

CONFIDENCE = 0.95

SAME = 1e-9
"""A standard error below this is rounding: all replicates agree, and do not say how far others would be away."""


@dataclass(frozen=True)
class Estimate:
    """A mean over replicates.

    Attributes:
        mean: itself.
        low, high: its 95% interval, as computed: of an accuracy it may reach beyond 0 and 1. None where the replicates
            cannot say how far others would be away: there is one, or they all agree.
        p: two-sided, for a true mean of 0; None as the interval.
        df: degrees of freedom; None as the interval.
        num_replicates: most replicates behind any combination.
        num_combinations: combinations of other settings that it is a mean over.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    df: float | None
    num_replicates: int
    num_combinations: int


def estimate(values_KR: NDArray[np.float64], overlap: float = 0.0) -> Estimate | None:
    """The mean over K fixed combinations of the mean over R replicates, with its t interval.

    With all values there, this is the one-sample t test of the R means over combinations (Student, 1908). Where values
    are missing, deviations from the means of combinations are added up replicate by replicate, then squared, as in a
    variance that is robust to clusters (Liang and Zeger, 1986), those of a combination of n values scaled by
    sqrt(n / (n - 1)); the degrees of freedom are the mean of n - 1. Combinations with one value are left out where
    others have more.

    Assumes that replicates are independent, and their means over combinations about normal.

    Args:
        values_KR: float64, K x R; NaN where there is none. One column is one replicate in all combinations.
        overlap: number of test images per training image, where each replicate is another split of the same images, so
            that training sets overlap: the variance s^2 / R becomes s^2 (1 / R + overlap) (Nadeau and Bengio, 2003). 0
            where all replicates share one split.

    Returns: None where there is no value at all.
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
    """Half the width of the interval of a mean of so many values, in their standard deviations."""
    return float(stdtrit(num_replicates - 1, (1 + CONFIDENCE) / 2) / np.sqrt(num_replicates))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """The p-values, corrected for being several (Holm, 1979). What was not tested, None, does not count.

    Of all the hypotheses that are true, with a probability of 95% none has a corrected p-value below 0.05, however the
    tests depend on one another.
    """
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - rank) * p))
        corrected[place] = highest
    return corrected


def mcnemar(right_a_N: NDArray[np.bool_], right_b_N: NDArray[np.bool_]) -> tuple[int, int, float]:
    """Whether two networks that saw the same images are equally often right (McNemar, 1947; the exact test).

    Assumes that the images are a random sample. The networks are taken as they are.

    Args:
        right_a_N: whether the first was right, by image.
        right_b_N: whether the second was.

    Returns: how many images only a got right, how many only b, and the two-sided p-value.
    """
    only_a, only_b = int((right_a_N & ~right_b_N).sum()), int((right_b_N & ~right_a_N).sum())
    if only_a + only_b == 0:
        return 0, 0, 1.0
    return only_a, only_b, float(binomtest(only_a, only_a + only_b).pvalue)
