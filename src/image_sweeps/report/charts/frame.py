"""The common frame of a report's charts: one width that fits a phone, fixed places in inches, and named colours.

A chart is drawn in placeholder colours, one for each name. In the page they become CSS variables, so that they follow
its light or dark scheme; in a separate file they become the colours of the light scheme.
"""

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from image_sweeps.system.text import legible

WIDTH = 3.6  # inches, which a browser shows as 346 pixels
SMALL = 8  # points

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1d2129",
    "muted": "#616875",
    "line": "#dfe2e7",
    "c1": "#2563c9",
    "c2": "#c2571a",
    "c3": "#1d8a5b",
    "c4": "#9b3fa5",
    "c5": "#a87a00",
    "c6": "#0d8ba1",
    "c7": "#c7365f",
    "c8": "#6b7280",
}
"""The colours on white, with a contrast of at least 3:1, 4.5:1 for text (WCAG 2.2). `page.css` has the dark ones."""

PLACEHOLDERS = {name: f"#0{place:x}0{place:x}0{place:x}" for place, name in enumerate(LIGHT, start=1)}
NAMES = {colour: name for name, colour in PLACEHOLDERS.items()}
SERIES = [PLACEHOLDERS[name] for name in LIGHT if name.startswith("c")]
STYLES: Sequence[Literal["-", "--", ":", "-."]] = ("-", "--", ":", "-.")

Look = tuple[str, Literal["-", "--", ":", "-."]]
"""The colour and the line style of a series."""


PAPER, INK, MUTED, LINE = (PLACEHOLDERS[name] for name in ("paper", "ink", "muted", "line"))


class Chart:
    """A figure with a heading and the same width for all charts.

    Args:
        title: the heading, at the upper left.
        height: the height in inches.
    """

    def __init__(self, title: str, height: float) -> None:
        self.title = title
        self.height = height
        self.figure = Figure(figsize=(WIDTH, height))
        self.figure.text(
            0.06 / WIDTH,
            1 - 0.08 / height,
            legible(title, 42),
            color=INK,
            size=9,
            va="top",
            weight="bold",
            parse_math=False,
        )

    def place(self, left: float, bottom: float, width: float, height: float) -> Axes:
        """Add axes at a fixed place, in inches from the lower left corner."""
        axes = self.figure.add_axes((left / WIDTH, bottom / self.height, width / WIDTH, height / self.height))
        axes.patch.set_visible(False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(LINE)
        axes.tick_params(which="both", colors=MUTED, labelsize=SMALL, length=0, pad=4)
        axes.grid(color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        for axis in (axes.xaxis, axes.yaxis):
            axis.label.set(color=MUTED, size=SMALL, parse_math=False)
        return axes

    def svg(self, description: str) -> str:
        """Return the chart for the page, with CSS variables as colours and `description` for screen readers."""
        self.figure.patch.set_visible(False)
        file = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": self.title}):
            FigureCanvasSVG(self.figure).print_svg(file, metadata=nothing)  # type: ignore[no-untyped-call]
        text = file.getvalue()
        drawing = re.sub(r"<[^>]*>", lambda tag: self._for_the_page(tag[0]), text[text.index("<svg") :])
        label = escape(f"{self.title}. {description}", quote=True)
        return drawing.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)

    def _for_the_page(self, tag: str) -> str:
        """Return an SVG tag with named colours, the font of the page, and ids that are unique in the page."""
        prefix = re.sub(r"\W+", "-", self.title)
        tag = re.sub(r'<g id="[^"]*"', "<g", tag)  # nothing refers to them
        tag = re.sub(r'\bid="', f'id="{prefix}-', tag)
        tag = re.sub(r'(href="|url\()#', rf"\g<1>#{prefix}-", tag)
        tag = re.sub(r"font: (?:(\w+) )?([\d.]+px) [^;\"]*", _font, tag)
        tag = re.sub(r"font-family: [^;\"]*;? ?", "", tag)
        return re.sub("|".join(NAMES), lambda colour: f"var(--{NAMES[colour[0]]})", tag)


def _font(match: re.Match[str]) -> str:
    weight, size = match.groups()
    return f"font-size: {size}" + f"; font-weight: {weight}" * bool(weight)


def standalone(svg: str) -> str:
    """Return a chart of the page as the content of a separate file, on white."""
    text = re.sub(r"var\(--(\w+)\)", lambda match: LIGHT[match[1]], svg)
    return text.replace("<svg ", '<svg style="background: white; font-family: sans-serif" ', 1)


def look(place: int) -> Look:
    """Return the colour and line style of the series at `place`, from 0."""
    return SERIES[place % len(SERIES)], STYLES[place // len(SERIES) % len(STYLES)]


def legend(axes: Axes, looks: Mapping[str, Look]) -> None:
    """Add a legend above the axes, from the look of each series by name; `legend_rows` returns its number of lines."""
    names = list(looks)
    handles = [Line2D([], [], color=colour, linestyle=style, linewidth=2) for colour, style in looks.values()]
    shown = axes.legend(
        handles,
        [legible(name, 24) for name in names],
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=_columns(names),
        fontsize=SMALL,
        labelcolor=INK,
        frameon=False,
        handlelength=1.4,
        columnspacing=1.2,
        labelspacing=0.3,
        borderaxespad=0.2,
    )
    for text in shown.get_texts():
        text.set_parse_math(False)


def legend_rows(names: Sequence[str]) -> int:
    """Return the number of lines of the legend."""
    return -(-len(names) // _columns(names))


def _columns(names: Sequence[str]) -> int:
    """Return how many columns fit, by the longest name: a letter of 8 points is on average below 0.075 inches wide."""
    longest = max(len(legible(name, 24)) for name in names)
    return max(1, min(len(names), int((WIDTH - 0.6) / (0.45 + 0.075 * longest))))


def percent_ticks(low: float, high: float) -> FuncFormatter:
    """Return a formatter of percentages with as many digits as the range needs."""
    digits = 0 if high - low > 0.05 else 1 if high - low > 0.005 else 2
    return FuncFormatter(lambda value, _: f"{value:.{digits}%}")
