"""A chart of the effects of settings."""

from collections.abc import Sequence

from matplotlib.ticker import FuncFormatter, MaxNLocator

from image_sweeps.report.charts.frame import INK, MUTED, PAPER, SERIES, SMALL, WIDTH, Chart
from image_sweeps.report.effects import Effect
from image_sweeps.report.formatting import MINUS
from image_sweeps.system.text import legible

PITCH = 0.36  # inches from one effect to the next


def forest(effects: Sequence[Effect]) -> str:
    """Return a chart of each effect as a point with its 95% interval, filled if the effect is certain, as SVG."""
    above, below = 0.4, 0.5
    chart = Chart("differences in test accuracy", above + PITCH * len(effects) + below)
    axes = chart.place(0.15, below, WIDTH - 0.3, PITCH * len(effects))
    axes.axvline(0, color=MUTED, linewidth=0.8)
    for row, effect in enumerate(effects):
        d = effect.difference
        if d.low is not None and d.high is not None:
            axes.hlines(row + 0.18, d.low, d.high, color=SERIES[0], linewidth=1.4)
        fill = SERIES[0] if effect.certain else "none"
        axes.plot(d.mean, row + 0.18, "o", color=SERIES[0], markerfacecolor=fill, markersize=4.5, clip_on=False)
        name = f"{effect.factor}: {effect.value} over {effect.against}"
        axes.annotate(
            legible(name, 50),
            (0, row - 0.22),
            xycoords=("axes fraction", "data"),
            color=INK,
            size=SMALL,
            va="center",
            parse_math=False,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5},
        )
    axes.set_ylim(len(effects) - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{100 * value:+g}".replace("-", MINUS) if value else "0")
    )
    axes.set_xlabel("percentage points")
    return chart.svg("Points are mean differences, lines their 95% intervals; filled points are certain.")
