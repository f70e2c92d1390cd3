"""Numbers as text for people. Accuracies are fractions everywhere else; here they become percent and points."""

from collections.abc import Sequence

from image_sweeps.report.statistics import Estimate

MINUS = "\N{MINUS SIGN}"

MAX_DIGITS = 4
"""The number of significant digits of a value that was drawn by a search and not typed."""


def percent(share: float) -> str:
    """Return a fraction as a percentage, as in `94.4%`."""
    return f"{share:.1%}"


def interval(low: float, high: float) -> str:
    """Return `91.6% to 96.4%`; an interval beyond 0 or 1, the limits of an accuracy, is cut there and gets a dagger."""
    clipped = low < 0 or high > 1
    return f"{percent(max(low, 0.0))} to {percent(min(high, 1.0))}" + "\N{DAGGER}" * clipped


def points(difference: float) -> str:
    """Return a difference of accuracies in percentage points, as in `+2.8`."""
    text = f"{100 * difference:+.1f}".replace("-", MINUS)
    return text if text.strip(f"+{MINUS}0.") else "0.0"


def points_between(estimate: Estimate) -> str:
    """Return the 95% interval of a difference, as in `+1.2 to +4.4`, or a dash if there is none."""
    if estimate.low is None or estimate.high is None:
        return "\N{EN DASH}"
    return points_interval(estimate.low, estimate.high)


def points_interval(low: float, high: float) -> str:
    """Return `+1.2 to +4.4`; an interval beyond 100 points, the largest difference, is cut there and gets a dagger."""
    clipped = low < -1 or high > 1
    return f"{points(max(low, -1.0))} to {points(min(high, 1.0))}" + "\N{DAGGER}" * clipped


def p_value(p: float | None) -> str:
    """Return a p-value as in `0.012` or `< 0.001`, or a dash if nothing was tested."""
    if p is None:
        return "\N{EN DASH}"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def short(value: str) -> str:
    """Return a long number rounded, as in `0.3162` for `0.3161732168364369`, and other text unchanged."""
    if len(value) <= MAX_DIGITS + len("0.000"):
        return value
    try:
        return f"{float(value):.{MAX_DIGITS}g}"
    except ValueError:
        return value


def count(number: int, noun: str) -> str:
    """Return a number with its noun, as in `1 cell` or `2 cells`."""
    return f"{number:,} {noun}{'s'[: number != 1]}"


def listed(texts: Sequence[str]) -> str:
    """Return the texts as a list in words, as in `a, b and c`."""
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def duration(seconds: float) -> str:
    """Return a duration in one unit, as in `4.2 s`, `12 min` or `3.1 h`."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
