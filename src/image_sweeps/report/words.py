"""Numbers as people read them. Accuracies are fractions everywhere else; here they become percent and points."""

from collections.abc import Sequence

from image_sweeps.report.statistics import Estimate

MINUS = "\N{MINUS SIGN}"

MAX_DIGITS = 4
"""Of a value that nobody typed, but a search has drawn."""


def percent(share: float) -> str:
    """94.4%."""
    return f"{share:.1%}"


def interval(low: float, high: float) -> str:
    """`91.6% to 96.4%`; as no accuracy is beyond 0 and 1, an interval that is ends there, marked by a dagger."""
    clipped = low < 0 or high > 1
    return f"{percent(max(low, 0.0))} to {percent(min(high, 1.0))}" + "\N{DAGGER}" * clipped


def points(difference: float) -> str:
    """`+2.8`: a difference of accuracies in percentage points."""
    text = f"{100 * difference:+.1f}".replace("-", MINUS)
    return text if text.strip(f"+{MINUS}0.") else "0.0"


def points_between(estimate: Estimate) -> str:
    """The 95% interval of a difference: `+1.2 to +4.4`; a dash where there is none."""
    if estimate.low is None or estimate.high is None:
        return "\N{EN DASH}"
    return points_interval(estimate.low, estimate.high)


def points_interval(low: float, high: float) -> str:
    """`+1.2 to +4.4`; as no two accuracies are further apart than 100 points, one that is ends there, with a dagger."""
    clipped = low < -1 or high > 1
    return f"{points(max(low, -1.0))} to {points(min(high, 1.0))}" + "\N{DAGGER}" * clipped


def p_value(p: float | None) -> str:
    """`0.012`, or `< 0.001`; a dash for what was not tested."""
    if p is None:
        return "\N{EN DASH}"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def short(value: str) -> str:
    """`0.3162` for `0.3161732168364369`; all else as it is."""
    if len(value) <= MAX_DIGITS + len("0.000"):
        return value
    try:
        return f"{float(value):.{MAX_DIGITS}g}"
    except ValueError:
        return value


def count(number: int, noun: str) -> str:
    """`1 cell`, `2 cells`."""
    return f"{number:,} {noun}{'s'[: number != 1]}"


def listed(texts: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def duration(seconds: float) -> str:
    """`4.2 s`, `12 min`, `3.1 h`."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
