"""What the settings do: differences between their values, with everything else held fixed.

Every difference is taken within a combination of all other settings and within a replicate. Combinations are fixed, so
that an interaction is no noise; replicates are drawn, so that only they are (`statistics.estimate`).
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from image_sweeps.report.statistics import Estimate, estimate, holm

CERTAIN = 0.05
"""A corrected p-value below this is called certain, or a difference that can be told apart."""


@dataclass(frozen=True)
class Effect:
    """How far one value of a setting is from another.

    Attributes:
        factor: the setting.
        value, against: two of its values; the difference is that of the first from the second.
        difference: over all combinations of the other settings that have both.
        p_holm: corrected for all effects of the report.
    """

    factor: str
    value: str
    against: str
    difference: Estimate
    p_holm: float | None

    @property
    def certain(self) -> bool:
        """Whether it can be told from chance."""
        return self.p_holm is not None and self.p_holm < CERTAIN


@dataclass(frozen=True)
class Interaction:
    """How much the effect of one setting depends on another.

    Attributes:
        factor, value, against: the effect, as in `Effect`.
        by, at, at_first: the other setting, and the two values of it that are compared.
        effect, effect_at_first: the effect at each of them.
        difference: between the two effects, over all combinations of the remaining settings that have all four.
        p_holm: corrected for all interactions of the report.
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
        """Whether it can be told from chance."""
        return self.p_holm is not None and self.p_holm < CERTAIN


@dataclass(frozen=True)
class Grid:
    """A measure in every configuration and replicate.

    Attributes:
        factors: the settings, with their values in order.
        configurations: C of them, their values in the order of `factors`.
        values: of the measure, float64, C x R; NaN where a cell is missing.
        overlap: see `statistics.estimate`.
    """

    factors: Mapping[str, Sequence[str]]
    configurations: Sequence[tuple[str, ...]]
    values: NDArray[np.float64]
    overlap: float = 0.0

    def rows(self, places: Sequence[int], wanted: Sequence[Sequence[str]]) -> list[list[int]]:
        """The configurations that differ in the factors at `places` only and have the `wanted` values there.

        Returns: one list for each of `wanted`, which correspond to one another, combination by combination.
        """
        by_rest: dict[tuple[str, ...], dict[tuple[str, ...], int]] = {}
        for c, levels in enumerate(self.configurations):
            rest = tuple(level for i, level in enumerate(levels) if i not in places)
            by_rest.setdefault(rest, {})[tuple(levels[i] for i in places)] = c
        keys = [tuple(values) for values in wanted]
        whole = [found for found in by_rest.values() if all(key in found for key in keys)]
        return [[found[key] for found in whole] for key in keys]


def effects(grid: Grid) -> list[Effect]:
    """The difference between every two values of every setting; the later value's from the earlier one's."""
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
    """Each value against the first, and the best value against each of the others; two values are one comparison."""
    shown = []
    for _, found in groupby(effects, key=lambda effect: effect.factor):
        of_factor = list(found)
        first = of_factor[0].against
        above = {effect.value: effect.difference.mean for effect in of_factor if effect.against == first}
        best = max(above, key=lambda value: above[value]) if max(above.values()) > 0 else first
        shown += [effect for effect in of_factor if {first, best} & {effect.value, effect.against}]
    return shown


def interactions(grid: Grid) -> list[Interaction]:
    """How the effects of two settings depend on each other, all against both settings' first values."""
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
    """How far each configuration is from the one chosen, with the corrected p-value; replicate by replicate."""
    reference = grid.values[best]
    differences = [
        None if c == best else estimate((row - reference)[None], grid.overlap) for c, row in enumerate(grid.values)
    ]
    corrected = holm([d.p if d else None for d in differences])
    return list(zip(differences, corrected, strict=True))
