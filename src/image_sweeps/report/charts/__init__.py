"""The charts of a report, as SVG that takes its colours from the surrounding page.

They are separate from the figures of a cell, which use torch and scikit-learn: charts use neither.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from image_sweeps.report.charts.confusion import confusion
from image_sweeps.report.charts.cost import COSTS, against
from image_sweeps.report.charts.effects import forest
from image_sweeps.report.charts.frame import SERIES, standalone
from image_sweeps.report.charts.learning import learning
from image_sweeps.report.charts.search import front, history, importances
from image_sweeps.report.content import MAX_CLASSES, Summary
from image_sweeps.report.effects import shown_effects
from image_sweeps.report.record import History

__all__ = ["charts", "standalone"]


def charts(summary: Summary, histories: Mapping[str, History]) -> dict[str, str]:
    """Return the charts of a report as SVG by name; charts without data are left out."""
    drawn = {}
    if effects := shown_effects(summary.effects):
        drawn["effects"] = forest(effects)
    for factor, by_value in _by_value(summary, histories):
        for measure in ("val_accuracy", "train_loss"):
            drawn[f"learning_{re.sub(r'[^A-Za-z0-9.]', '-', factor)}_{measure}"] = learning(factor, by_value, measure)
    drawn |= _costs(summary)
    if summary.search:
        found = {"search_history": history(summary.search), "search_importances": importances(summary.search)}
        found["search_front"] = front(summary.search)
        drawn |= {name: svg for name, svg in found.items() if svg}
    if summary.best and summary.best.confusion and len(summary.best.confusion.class_names) > MAX_CLASSES:
        drawn["confusion"] = confusion(summary.best.confusion)
    return drawn


def _by_value(summary: Summary, histories: Mapping[str, History]) -> Iterator[tuple[str, dict[str, Sequence[History]]]]:
    """Yield each setting, or else each key of replicates, with the histories of finished cells by its values."""
    finished = [cell for cell in summary.cells if cell.test_accuracy is not None and cell.run_id in histories]
    varied = summary.question.factors or summary.question.replicates
    if not varied and finished:
        yield "cell", {finished[0].name: [histories[str(finished[0].run_id)]]}
    for factor, values in varied.items():
        by_value: dict[str, Sequence[History]] = {
            value: [histories[str(cell.run_id)] for cell in finished if cell.levels[factor] == value]
            for value in values
        }
        if any(by_value.values()):
            yield factor, by_value


def _costs(summary: Summary) -> dict[str, str]:
    if not summary.question.factors:
        return {}
    by_number = sorted(summary.question.factors.items(), key=lambda item: len(item[1]) > len(SERIES))
    factor, values = by_number[0]  # the first setting whose values can be distinguished by colour
    found = {}
    for cost in COSTS:
        known = [(c, float(paid)) for c in summary.configurations if (paid := getattr(c, cost.attribute))]
        if len({paid for _, paid in known}) > 1:
            configurations, costs = zip(*known, strict=True)
            found[f"cost_{cost.attribute}"] = against(cost, configurations, costs, factor, values)
    return found
