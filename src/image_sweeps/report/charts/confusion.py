"""A chart of the confusion matrix, for more classes than a table can show."""

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from image_sweeps.report.charts.frame import LIGHT, WIDTH, Chart
from image_sweeps.report.record import Confusion

MAX_SIDE = 600
"""The largest side of the image in pixels: about two for each pixel that a browser shows."""


def confusion(confusion: Confusion) -> str:
    """Return a chart of the shares of each true class as shades, as SVG."""
    counts = confusion.counts
    shares = _thinned(counts / np.maximum(counts.sum(1, keepdims=True), 1))
    shades = np.empty((*shares.shape, 4))
    shades[..., :3] = to_rgb(LIGHT["c1"])
    shades[..., 3] = np.sqrt(shares)  # the root makes single images among thousands visible
    chart = Chart("test images by label and prediction", WIDTH)
    axes = chart.place(0.5, 0.4, 2.8, 2.8)
    end = len(counts) - 0.5
    axes.imshow(shades, interpolation="none", extent=(-0.5, end, end, -0.5))
    axes.grid(visible=False)
    axes.set_xlabel("prediction, by number of the class")
    axes.set_ylabel("label")
    return chart.svg("Rows are labels, columns predictions; the darker, the larger the share of the label's images.")


def _thinned(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return at most MAX_SIDE rows and columns, each with the largest share of those that it replaces."""
    step = -(-len(shares) // MAX_SIDE)
    for axis in (0, 1):
        shares = np.maximum.reduceat(shares, np.arange(0, shares.shape[axis], step), axis=axis)
    return shares
