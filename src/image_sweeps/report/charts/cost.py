"""Charts of accuracy over its cost."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from image_sweeps.report.charts.frame import Chart, legend, legend_rows, look, percent_ticks
from image_sweeps.report.content import Configuration


class Cost(NamedTuple):
    """A cost of accuracy: its name, its unit, and the attribute of `Configuration` that has it."""

    name: str
    unit: str
    attribute: str


COSTS = (Cost("training time", "seconds", "seconds"), Cost("network size", "parameters", "num_parameters"))


def against(
    cost: Cost, configurations: Sequence[Configuration], costs: Sequence[float], factor: str, values: Sequence[str]
) -> str:
    """Return a chart of the test accuracy of each configuration, with its 95% interval if known, over its cost, as SVG.

    Args:
        cost: the kind of cost.
        configurations: N configurations.
        costs: N costs, positive.
        factor: the setting that is shown by colour.
        values: the values of that setting, in the order of their colours.
    """
    looks = {f"{factor}={value}": look(place) for place, value in enumerate(values)}
    above = 0.34 + 0.17 * legend_rows(list(looks))
    chart = Chart(f"test accuracy over {cost.name}", above + 2.1)
    axes = chart.place(0.55, 0.5, 2.93, 1.6)
    means = [configuration.test_accuracy.mean for configuration in configurations]
    for configuration, x in zip(configurations, costs, strict=True):
        accuracy = configuration.test_accuracy
        colour, _ = looks[f"{factor}={configuration.levels[factor]}"]
        if accuracy.low is not None and accuracy.high is not None:
            axes.vlines(x, max(accuracy.low, 0), min(accuracy.high, 1), color=colour, linewidth=1, alpha=0.55)
        axes.plot(x, accuracy.mean, "o", color=colour, markersize=4, clip_on=False)
    if max(costs) > 5 * min(costs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10, (1, 2, 5), numticks=6))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.margins(x=0.1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(percent_ticks(min(means), max(means)))
    axes.set_xlabel(cost.unit)
    legend(axes, looks)
    return chart.svg("One point a configuration; the line through it is its 95% interval.")


def _short(value: float) -> str:
    """Return a number with a unit prefix, as in `14.5k` or `1.2M`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.3g}"
