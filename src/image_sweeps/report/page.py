"""The report as one HTML file, which needs no network, no script and no font."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from image_sweeps.cell.commands import ENOUGH_SEEDS
from image_sweeps.cell.status import CellStatus
from image_sweeps.report import formatting
from image_sweeps.report.answer import noun, status_counts
from image_sweeps.report.content import MAX_CLASSES, CellRow, Configuration, Summary
from image_sweeps.report.effects import Interaction, shown_effects
from image_sweeps.report.statistics import Estimate, interval_factor

HERE = Path(__file__).parent

MAX_ROWS = 200
"""The largest number of rows in a table; `report.json` and `cells.csv` have all rows."""

MAX_INTERACTIONS = 5

MAX_TRIALS = 15
"""The largest number of trials that are shown of a search; `report.json` has all trials."""


def page(summary: Summary, charts: Mapping[str, str]) -> str:
    """Return the report as HTML.

    Args:
        summary: the content of the report.
        charts: SVG by name: `learning_...`, `search_...`, `cost_...`, `effects`, `confusion`; some may be missing.
    """
    num_replicates = max((c.test_accuracy.num_replicates for c in summary.configurations), default=0)
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            s=summary,
            q=summary.question,
            style=Markup((HERE / "page.css").read_text()),  # noqa: S704  ours
            noun=noun(summary.question),
            counts=status_counts(summary.counts),
            charts={name: Markup(svg) for name, svg in charts.items()},  # noqa: S704  matplotlib escapes what is written
            learning=[Markup(svg) for name, svg in charts.items() if name.startswith("learning")],  # noqa: S704
            searching=[Markup(svg) for name, svg in charts.items() if name.startswith("search")],  # noqa: S704
            cost=[Markup(svg) for name, svg in charts.items() if name.startswith("cost")],  # noqa: S704
            configurations=summary.configurations[:MAX_ROWS],
            cells=summary.cells[:MAX_ROWS],
            trials=summary.search.best_first[:MAX_TRIALS] if summary.search else [],
            num_tested=sum(effect.p_holm is not None for effect in summary.effects),
            num_rivals=sum(configuration.tied is not None for configuration in summary.configurations),
            effects=shown_effects(summary.effects),
            interactions=shown_interactions(summary.interactions),
            num_interactions=sum(interaction.p_holm is not None for interaction in summary.interactions),
            scale=Scale(summary.configurations),
            num_replicates=num_replicates,
            cut_accuracies=any(_beyond(c.test_accuracy, 0, 1) for c in summary.configurations),
            cut_points=any(_beyond(effect.difference, -1, 1) for effect in summary.effects),
            unfinished=_by_reason(summary.cells),
            enough_seeds=ENOUGH_SEEDS,
            narrower=interval_factor(ENOUGH_SEEDS) / interval_factor(num_replicates) if num_replicates > 1 else None,
            max_classes=MAX_CLASSES,
        )
    )


def shown_interactions(interactions: Sequence[Interaction]) -> list[Interaction]:
    """Return the `MAX_INTERACTIONS` strongest interactions, the certain ones first."""
    ordered = sorted(interactions, key=lambda i: (not i.certain, -abs(i.difference.mean)))
    return ordered[:MAX_INTERACTIONS]


class Scale:
    """The scale of the strips in the table of configurations: from accuracies to percent of the width of a strip."""

    def __init__(self, configurations: Sequence[Configuration]) -> None:
        ends = [
            end
            for c in configurations
            for end in (c.test_accuracy.mean, c.test_accuracy.low, c.test_accuracy.high)
            if end is not None
        ]
        self.low = max(0.0, min(ends, default=0.0))
        self.high = min(1.0, max(ends, default=1.0))
        if self.low == self.high:
            self.low, self.high = 0.0, 1.0

    def __call__(self, accuracy: float) -> float:
        """Return the position of an accuracy, 0 to 100."""
        share = (accuracy - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, share)), 2)


def _beyond(estimate: Estimate, low: float, high: float) -> bool:
    """Return whether the interval of the estimate extends beyond `low` or `high`, the limits of its values."""
    return (estimate.low is not None and estimate.low < low) or (estimate.high is not None and estimate.high > high)


def _by_reason(cells: Sequence[CellRow]) -> list[tuple[CellStatus, str | None, list[CellRow]]]:
    """Return the cells that did not finish, grouped by status and reason."""
    found: dict[tuple[CellStatus, str | None], list[CellRow]] = {}
    for cell in cells:
        if not cell.status.over:
            found.setdefault((cell.status, cell.reason), []).append(cell)
    return [(status, reason, befallen) for (status, reason), befallen in found.items()]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    for name in ("percent", "interval", "points", "points_between", "p_value", "count", "listed", "duration", "short"):
        environment.filters[name] = getattr(formatting, name)
    return environment
