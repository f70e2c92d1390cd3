"""The effects of settings: differences between their values, with everything else held fixed.

Every difference is taken within a combination of all other settings and within a replicate. Combinations are fixed, so
an interaction is not noise; replicates are drawn, so only they are noise (`statistics.estimate`).
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from image_sweeps.report.statistics import Estimate, estimate, holm

CERTAIN = 0.05
"""The level below which a corrected p-value makes an effect certain, and a difference distinguishable."""


@dataclass(frozen=True)
class Effect:
    """The difference that a setting makes between two of its values.

    Attributes:
        factor: the setting.
        value, against: two of its values; the difference is the measure at `value` minus the measure at `against`.
        difference: the difference, over all combinations of the other settings that have both values.
        p_holm: its p-value, corrected for all effects of the report.
    """

    factor: str
    value: str
    against: str
    difference: Estimate
    p_holm: float | None

    @property
    def certain(self) -> bool:
        """Whether the corrected p-value is below `CERTAIN`."""
        return self.p_holm is not None and self.p_holm < CERTAIN


@dataclass(frozen=True)
class Interaction:
    """The dependence of the effect of one setting on another setting.

    Attributes:
        factor, value, against: the effect, as in `Effect`.
        by, at, at_first: the other setting, and the two values of it that are compared.
        effect, effect_at_first: the effect at each of these two values.
        difference: the first effect minus the second, over all combinations of the remaining settings that have all
            four pairs of values.
        p_holm: its p-value, corrected for all interactions of the report.
    """

    factor: str
    value: str
    against: str
    by: str
    at: str
    at_first: str
    effect: float
    effect_at_first: float
    difference: Estimate
    p_holm: float | None

    @property
    def certain(self) -> bool:
        """Whether the corrected p-value is below `CERTAIN`."""
        return self.p_holm is not None and self.p_holm < CERTAIN


@dataclass(frozen=True)
class Grid:
    """The values of a measure in every configuration and replicate.

    Attributes:
        factors: the settings, with their values in order.
        configurations: C tuples of values, in the order of `factors`.
        values: the values of the measure, float64, C x R; NaN if a cell is missing.
        overlap: see `statistics.estimate`.
    """

    factors: Mapping[str, Sequence[str]]
    configurations: Sequence[tuple[str, ...]]
    values: NDArray[np.float64]
    overlap: float = 0.0

    def rows(self, places: Sequence[int], wanted: Sequence[Sequence[str]]) -> list[list[int]]:
        """Return the configurations that differ only in the factors at `places` and have the `wanted` values there.

        Returns: one list of rows of `values` for each of `wanted`, all in the same order of the other settings.
        """
        by_rest: dict[tuple[str, ...], dict[tuple[str, ...], int]] = {}
        for c, levels in enumerate(self.configurations):
            rest = tuple(level for i, level in enumerate(levels) if i not in places)
            by_rest.setdefault(rest, {})[tuple(levels[i] for i in places)] = c
        keys = [tuple(values) for values in wanted]
        whole = [found for found in by_rest.values() if all(key in found for key in keys)]
        return [[found[key] for found in whole] for key in keys]


def effects(grid: Grid) -> list[Effect]:
    """Return the difference between every two values of every setting: the later value minus the earlier one."""
    found = []
    for place, (factor, values) in enumerate(grid.factors.items()):
        for against, value in itertools.combinations(values, 2):
            low, high = grid.rows([place], [[against], [value]])
            difference = estimate(grid.values[high] - grid.values[low], grid.overlap)
            if difference is not None:
                found.append((factor, value, against, difference))
    corrected = holm([difference.p for *_, difference in found])
    return [Effect(*effect, p_holm) for effect, p_holm in zip(found, corrected, strict=True)]


def shown_effects(effects: Sequence[Effect]) -> list[Effect]:
    """Return the effects of each value against the first, and of the best against each other value, each pair once."""
    shown = []
    for _, found in groupby(effects, key=lambda effect: effect.factor):
        of_factor = list(found)
        first = of_factor[0].against
        above = {effect.value: effect.difference.mean for effect in of_factor if effect.against == first}
        best = max(above, key=lambda value: above[value]) if max(above.values()) > 0 else first
        shown += [effect for effect in of_factor if {first, best} & {effect.value, effect.against}]
    return shown


def interactions(grid: Grid) -> list[Interaction]:
    """Return the interactions of every two settings, all of them relative to the first values of both settings."""
    found = list(_contrasts(grid))
    corrected = holm([contrast[-1].p for contrast in found])
    return [Interaction(*contrast, p_holm) for contrast, p_holm in zip(found, corrected, strict=True)]


def _contrasts(grid: Grid) -> Iterator[tuple[str, str, str, str, str, str, float, float, Estimate]]:
    for (i, factor), (j, by) in itertools.combinations(enumerate(grid.factors), 2):
        (against, *values), (at_first, *others) = grid.factors[factor], grid.factors[by]
        for value, at in itertools.product(values, others):
            wanted = [[against, at_first], [value, at_first], [against, at], [value, at]]
            a, b, c, d = (grid.values[rows] for rows in grid.rows([i, j], wanted))
            contrast = (d - c) - (b - a)
            whole = np.isfinite(contrast)
            first, other = (estimate(np.where(whole, effect, np.nan)) for effect in (b - a, d - c))
            difference = estimate(contrast, grid.overlap)
            if first and other and difference:
                yield factor, value, against, by, at, at_first, other.mean, first.mean, difference


def from_best(grid: Grid, best: int) -> list[tuple[Estimate | None, float | None]]:
    """Return the difference of each configuration from `best`, paired by replicate, and the corrected p-value."""
    reference = grid.values[best]
    differences = [
        None if c == best else estimate((row - reference)[None], grid.overlap) for c, row in enumerate(grid.values)
    ]
    corrected = holm([d.p if d else None for d in differences])
    return list(zip(differences, corrected, strict=True))
