"""Which class is taken for which, where there are too many classes for a table."""

import numpy as np
from matplotlib.colors import to_rgb

from src.summary.charts.frame import LIGHT, WIDTH, Chart
from src.summary.record import Confusion


def confusion(confusion: Confusion) -> str:
    """Shares of each true class as shades, as SVG."""
    counts = confusion.counts
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    shades = np.empty((*shares.shape, 4))
    shades[..., :3] = to_rgb(LIGHT["c1"])
    shades[..., 3] = np.sqrt(shares)  # single images are to be seen among thousands
    chart = Chart("test images by label and prediction", WIDTH)
    axes = chart.place(0.5, 0.4, 2.8, 2.8)
    axes.imshow(shades, interpolation="none")
    axes.grid(visible=False)
    axes.set_xlabel("prediction, by number of the class")
    axes.set_ylabel("label")
    return chart.svg("Rows are labels, columns predictions; the darker, the larger the share of the label's images.")
