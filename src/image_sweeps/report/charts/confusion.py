"""Which class is taken for which, where there are too many classes for a table."""

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from image_sweeps.report.charts.frame import LIGHT, WIDTH, Chart
from image_sweeps.report.record import Confusion

MAX_SIDE = 600
"""Pixels: two for each that a browser shows."""


def confusion(confusion: Confusion) -> str:
    """Shares of each true class as shades, as SVG."""
    counts = confusion.counts
    shares = _thinned(counts / np.maximum(counts.sum(1, keepdims=True), 1))
    shades = np.empty((*shares.shape, 4))
    shades[..., :3] = to_rgb(LIGHT["c1"])
    shades[..., 3] = np.sqrt(shares)  # single images are to be seen among thousands
    chart = Chart("test images by label and prediction", WIDTH)
    axes = chart.place(0.5, 0.4, 2.8, 2.8)
    end = len(counts) - 0.5
    axes.imshow(shades, interpolation="none", extent=(-0.5, end, end, -0.5))
    axes.grid(visible=False)
    axes.set_xlabel("prediction, by number of the class")
    axes.set_ylabel("label")
    return chart.svg("Rows are labels, columns predictions; the darker, the larger the share of the label's images.")


def _thinned(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most MAX_SIDE rows and columns, each the largest share of those that it stands for."""
    step = -(-len(shares) // MAX_SIDE)
    for axis in (0, 1):
        shares = np.maximum.reduceat(shares, np.arange(0, shares.shape[axis], step), axis=axis)
    return shares
