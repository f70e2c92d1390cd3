"""The figure of the confusion matrix."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from image_sweeps.fit.evaluate import Evaluation
from image_sweeps.system.text import legible
from image_sweeps.tracking.figures.frame import SMALL, accuracy_text, heading, new_figure, place, width_of

MAX_WRITTEN = 25
"""The largest number of classes for which counts are written in; more would be unreadable, and slow to draw."""

MAX_SIDE = 14.0  # inches
MIN_PITCH = 0.13  # inches from one class name to the next


def confusion(evaluation: Evaluation, class_names: Sequence[str]) -> Figure:
    """Draw the test split's confusion matrix: shares of each true class, and counts for up to MAX_WRITTEN classes."""
    counts = evaluation.confusion
    num_classes = len(class_names)
    written = num_classes <= MAX_WRITTEN
    cell = max(0.42, 2.8 / num_classes) if written else 0.16
    side = min(num_classes * cell, MAX_SIDE)
    every = -(-num_classes // int(MAX_SIDE / MIN_PITCH))
    names = [legible(name, 20) for name in class_names[::every]]
    longest = width_of(names, SMALL)
    turned = longest > 0.9 * cell
    left, bottom = longest + 0.5, (longest if turned else 0.15) + 0.5
    figure = new_figure(max(left + side + 1.1, 5.2), bottom + side + 0.8)
    heading(figure, "Which class is taken for which", accuracy_text(evaluation))
    axes = place(figure, left, bottom, side, side)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    ticks = range(0, num_classes, every)
    axes.set_xticks(ticks, names, rotation=90 if turned else 0, fontsize=SMALL, parse_math=False)
    axes.set_yticks(ticks, names, fontsize=SMALL, parse_math=False)
    axes.tick_params(length=2)
    axes.set_xlabel("prediction")
    axes.set_ylabel("label")
    scale = place(figure, left + side + 0.2, bottom, 0.14, side)
    figure.colorbar(image, cax=scale, format=PercentFormatter(1.0), label="share of the label's images")
    if written:
        _write(axes, counts, shares)
    return figure


def _write(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            ink = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=ink, fontsize=SMALL)
