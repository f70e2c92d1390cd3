"""Charts of a search."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from image_sweeps.cell.search_record import Trial
from image_sweeps.cell.status import CellStatus
from image_sweeps.report.charts.frame import (
    INK,
    LINE,
    MUTED,
    SERIES,
    SMALL,
    WIDTH,
    Chart,
    legend,
    legend_rows,
    percent_ticks,
)
from image_sweeps.report.search import SearchSummary
from image_sweeps.system.text import legible

PITCH = 0.26  # inches from one parameter to the next

NAMES = {"val/accuracy": "validation accuracy", "val/loss": "validation loss"}


def history(search: SearchSummary) -> str | None:
    """Return a chart of the first objective of each trial and the best so far, as SVG, or None if no value is known.

    A pruned trial has the value of its best epoch.
    """
    goal = search.objectives[0]
    known = [(trial, value) for trial in search.trials if (value := _value(trial)) is not None]
    if not known:
        return None
    looks = {CellStatus.FINISHED: (SERIES[0], "-"), CellStatus.PRUNED: (SERIES[1], ":")}
    chart = Chart(f"{NAMES.get(goal, goal)} of the trials", 0.34 + 0.17 * legend_rows(list(looks)) + 2.1)
    axes = chart.place(0.55, 0.5, 2.93, 1.6)
    for state, marker in ((CellStatus.FINISHED, "o"), (CellStatus.PRUNED, "x")):
        of_state = [(trial.number, value) for trial, value in known if trial.state == state]
        if of_state:
            axes.plot(*zip(*of_state, strict=True), marker, color=looks[state][0], markersize=4, clip_on=False)
    finished = [(trial.number, value) for trial, value in known if trial.state is CellStatus.FINISHED]
    if finished:
        numbers, values = zip(*finished, strict=True)
        better: Callable[..., object] = (
            np.maximum.accumulate if search.directions[0] == "maximize" else np.minimum.accumulate
        )
        axes.step([*numbers, len(search.trials) - 1], _extended(better(values)), where="post", color=SERIES[0])
    values_N = [value for _, value in known]
    if goal == "val/accuracy":
        axes.yaxis.set_major_formatter(percent_ticks(min(values_N), max(values_N)))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.set_xlabel("trial")
    legend(axes, looks)  # type: ignore[arg-type]
    return chart.svg("A point a trial, a cross one that was pruned, at its best epoch; the line is the best so far.")


def front(search: SearchSummary) -> str | None:
    """Return a chart of the first two objectives of the finished trials, the Pareto front filled, as SVG, or None."""
    finished = [trial for trial in search.trials if trial.values is not None and len(trial.values) > 1]
    if not finished:
        return None
    first, second = search.objectives[:2]
    chart = Chart(f"{NAMES.get(first, first)} over {NAMES.get(second, second)}", 0.4 + 2.1)
    axes = chart.place(0.55, 0.5, 2.93, 1.6)
    for trial in finished:
        fill = SERIES[0] if trial.number in search.best else "none"
        values = trial.values or []
        axes.plot(values[1], values[0], "o", color=SERIES[0], markerfacecolor=fill, markersize=4, clip_on=False)
    accuracies = [(trial.values or [0.0])[0] for trial in finished]
    if first == "val/accuracy":
        axes.yaxis.set_major_formatter(percent_ticks(min(accuracies), max(accuracies)))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
    axes.set_xlabel(NAMES.get(second, second))
    return chart.svg("A point a trial; no other beats the filled ones in every objective.")


def importances(search: SearchSummary) -> str | None:
    """Return a chart of the importance of each parameter, as SVG, or None if importances are unknown."""
    if not search.importances:
        return None
    shares = sorted(search.importances.items(), key=lambda item: -item[1])
    above, below = 0.4, 0.45
    chart = Chart("what the search objective depends on", above + PITCH * len(shares) + below)
    axes = chart.place(1.6, below, WIDTH - 1.75, PITCH * len(shares))
    axes.barh(range(len(shares)), [share for _, share in shares], height=0.55, color=SERIES[0])
    axes.set_ylim(len(shares) - 0.5, -0.5)
    axes.set_yticks(range(len(shares)), [legible(name, 24) for name, _ in shares])
    for label in axes.get_yticklabels():
        label.set(color=INK, size=SMALL, parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    axes.set_xlim(0, None)
    axes.grid(axis="y", visible=False)
    axes.spines["bottom"].set_color(LINE)
    axes.tick_params(axis="x", colors=MUTED)
    return chart.svg("Shares of the variance over the finished trials that each parameter explains.")


def _value(trial: Trial) -> float | None:
    """Return the first objective of a finished trial, or the best value so far of another one."""
    return trial.values[0] if trial.values else trial.best


def _extended(values: object) -> Sequence[float]:
    known = np.asarray(values, dtype=float)
    return [*known.tolist(), float(known[-1])]
