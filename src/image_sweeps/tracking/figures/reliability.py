"""The reliability diagram: whether the accuracy of the network agrees with its confidence."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from image_sweeps.fit.evaluate import Evaluation
from image_sweeps.tracking.figures.frame import accuracy_text, heading, new_figure, place

LEFT, WIDTH = 0.8, 4.4  # inches


def reliability(evaluation: Evaluation) -> Figure:
    """Draw accuracy over confidence with 95% intervals, and the number of images of each point (Guo et al., 2017)."""
    table = evaluation.calibration
    figure = new_figure(LEFT + WIDTH + 0.3, 5.9)
    key = "red: how far confidence and accuracy lie apart"
    title = f"Confidence and accuracy: expected calibration error (ECE) {table.ece:.3f}"
    heading(figure, title, accuracy_text(evaluation), key)
    ticks = np.linspace(0, 1, 6)
    diagram = place(figure, LEFT, 1.75, WIDTH, 3.3)
    diagram.plot([0, 1], [0, 1], "--", color="0.6", linewidth=1)
    used = table.count > 0
    confidence, accuracy = table.confidence[used], table.accuracy[used]
    diagram.vlines(confidence, confidence, accuracy, color="tab:red", linewidth=5, alpha=0.35)
    diagram.vlines(confidence, table.accuracy_low[used], table.accuracy_high[used], color="tab:blue", linewidth=1)
    diagram.plot(confidence, accuracy, "o", color="tab:blue", clip_on=False)
    diagram.set_xticks(ticks, [""] * len(ticks))
    diagram.set_yticks(ticks, [f"{tick:.0%}" for tick in ticks])
    diagram.set_ylim(0, 1.01)
    diagram.set_ylabel("accuracy, with its 95% interval")
    images = place(figure, LEFT, 0.55, WIDTH, 1.0)
    images.bar(table.edges[:-1], table.count, np.diff(table.edges), align="edge", color="0.7", edgecolor="white")
    images.set_xticks(ticks, [f"{tick:.0%}" for tick in ticks])
    images.set_xlabel("confidence in the prediction")
    images.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    images.set_ylabel("images")
    for axes in (diagram, images):
        axes.set_xlim(0, 1)
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
    return figure
