"""The figures of ROC and precision-recall curves of each class against the rest."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cbook import pts_to_prestep
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from image_sweeps.fit.evaluate import Evaluation
from image_sweeps.fit.threshold_curves import Curve, areas, macro
from image_sweeps.system.text import legible
from image_sweeps.tracking.figures.frame import SMALL, accuracy_text, heading, new_figure, place

MAX_COLOURED = 10
"""The number of colours that can be told apart; with more classes, those with the lowest areas are coloured."""

ZOOM_FROM = 0.95
"""The macro area from which on the corner of the ROC curves is shown enlarged: little happens elsewhere."""

LEFT, BOTTOM, SIDE = 0.7, 0.55, 3.9  # inches


def roc(evaluation: Evaluation, class_names: Sequence[str]) -> Figure:
    """Draw the true positive rate over the false positive rate, one curve per class."""
    curves = evaluation.roc
    figure = _headed(evaluation, curves, "ROC, each class against the rest", "macro area")
    lines = {k: np.column_stack([curve.x, curve.y]) for k, curve in enumerate(curves) if len(curve.x)}
    axes = _square(figure, "false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], "--", color="0.6", linewidth=1)
    _draw(axes, lines, curves)
    _name(axes, curves, class_names, "area")
    if macro(areas(curves)) >= ZOOM_FROM:
        corner = place(figure, LEFT + 0.4 * SIDE, BOTTOM + 0.18 * SIDE, 0.54 * SIDE, 0.54 * SIDE)
        corner.set(xlim=(-0.001, 0.1), ylim=(0.9, 1.001), xticks=(0, 0.05, 0.1), yticks=(0.9, 0.95, 1))
        corner.tick_params(labelsize=SMALL)
        corner.grid(color="0.92")
        _draw(corner, lines, curves)
    return figure


def precision_recall(evaluation: Evaluation, class_names: Sequence[str]) -> Figure:
    """Draw precision over recall, one curve per class, in steps: points between two recalls do not lie on a line."""
    curves = evaluation.precision_recall
    title = "Precision and recall, each class against the rest"
    figure = _headed(evaluation, curves, title, "macro average precision")
    lines = {k: pts_to_prestep(curve.x, curve.y).T for k, curve in enumerate(curves) if len(curve.x)}
    axes = _square(figure, "recall", "precision")
    _draw(axes, lines, curves)
    _name(axes, curves, class_names, "average precision")
    return figure


def _headed(evaluation: Evaluation, curves: tuple[Curve, ...], title: str, what: str) -> Figure:
    figure = new_figure(7.1, BOTTOM + SIDE + 0.85)
    num_curves = sum(len(curve.x) > 0 for curve in curves)
    area = f"{what} {macro(areas(curves)):.3f}"
    if num_curves < len(curves):
        area += f" over {num_curves} of {len(curves)} classes: of the others there is no test image, or no other"
    heading(figure, title, area, accuracy_text(evaluation))
    return figure


def _square(figure: Figure, x: str, y: str) -> Axes:
    """Add square axes for two rates."""
    axes = place(figure, LEFT, BOTTOM, SIDE, SIDE)
    ticks = np.linspace(0, 1, 6)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xticks=ticks, yticks=ticks, xlabel=x, ylabel=y)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    return axes


def _draw(axes: Axes, lines: Mapping[int, NDArray[np.float64]], curves: Sequence[Curve]) -> None:
    """Draw all curves as one artist, the coloured ones on top."""
    colours = _colours(curves)
    order = sorted(lines, key=lambda k: k in colours)
    axes.add_collection(
        LineCollection(
            [lines[k] for k in order],
            colors=[colours.get(k, "0.75") for k in order],
            linewidths=[1.4 if k in colours else 0.7 for k in order],
        ),
        autolim=False,
    )


def _colours(curves: Sequence[Curve]) -> dict[int, str]:
    """Return the colours of the coloured classes, in the order of the legend."""
    drawn = [k for k, curve in enumerate(curves) if len(curve.x)]
    if len(drawn) > MAX_COLOURED:
        drawn = sorted(drawn, key=lambda k: curves[k].area)[:MAX_COLOURED]
    return {k: f"C{place}" for place, k in enumerate(drawn)}


def _name(axes: Axes, curves: Sequence[Curve], class_names: Sequence[str], area: str) -> None:
    """Add the legend of the colours, beside the axes."""
    colours = _colours(curves)
    handles = [Line2D([], [], color=colour) for colour in colours.values()]
    labels = [f"{curves[k].area:.3f}  {legible(class_names[k], 22)}" for k in colours]
    num_curves = sum(len(curve.x) > 0 for curve in curves)
    title = f"{area}, the lowest {MAX_COLOURED}" if num_curves > MAX_COLOURED else area
    legend = axes.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(1.02, 1.02),
        title=title,
        alignment="left",
        fontsize=SMALL,
        title_fontsize=SMALL + 1,
        frameon=False,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
