"""Learning curves by the value of one setting."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from image_sweeps.report.charts.frame import Chart, legend, legend_rows, look, percent_ticks
from image_sweeps.report.record import History

MAX_POINTS = 200
"""The largest number of epochs drawn; of more epochs, this number at equal distances is drawn."""


def learning(factor: str, histories: Mapping[str, Sequence[History]], measure: str) -> str:
    """Return a chart of the mean over the cells of each value, with a band from the lowest to the highest cell, as SVG.

    The line is dotted from the epoch after which some of the cells have stopped.

    Args:
        factor: the setting.
        histories: the histories of the cells, by the value of the setting.
        measure: an attribute of `History`: `val_accuracy` or `train_loss`.
    """
    name = {"val_accuracy": "validation accuracy", "train_loss": "training loss"}[measure]
    looks = {value: look(place) for place, (value, cells) in enumerate(histories.items()) if cells}
    above = 0.34 + 0.17 * legend_rows(list(looks))
    chart = Chart(f"{name} by {factor}", above + 2.1)
    axes = chart.place(0.55, 0.5, 2.93, 1.6)
    lowest, highest = np.inf, -np.inf
    for value, (colour, style) in looks.items():
        epochs, values_EC = _table(histories[value], measure)
        mean, low, high = (f(values_EC, axis=1) for f in (np.nanmean, np.nanmin, np.nanmax))
        whole = int(np.isfinite(values_EC).all(1).sum())
        if values_EC.shape[1] > 1:
            axes.fill_between(epochs, low, high, color=colour, alpha=0.14, linewidth=0)
        marker = "o" if len(epochs) == 1 else None
        axes.plot(epochs[:whole], mean[:whole], style, color=colour, linewidth=1.5, marker=marker, markersize=3)
        if whole < len(epochs):
            axes.plot(epochs[whole - 1 :], mean[whole - 1 :], ":", color=colour, linewidth=1.1)
        lowest, highest = min(lowest, float(low.min())), max(highest, float(high.max()))
    if measure == "val_accuracy":
        axes.yaxis.set_major_formatter(percent_ticks(lowest, highest))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
    legend(axes, looks)
    return chart.svg("Mean of the cells with each value, and a band from the lowest to the highest.")


def _table(histories: Sequence[History], measure: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return at most `MAX_POINTS` epochs, E, and the values of C cells, E x C, NaN after the last epoch of a cell."""
    num_epochs = max(len(history.epoch) for history in histories)
    values_EC = np.full((num_epochs, len(histories)), np.nan)
    for column, history in enumerate(histories):
        values_EC[: len(history.epoch), column] = getattr(history, measure)
    kept = np.unique(np.linspace(0, num_epochs - 1, min(num_epochs, MAX_POINTS)).round().astype(int))
    return kept + 1, values_EC[kept]
