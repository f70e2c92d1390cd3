"""What all figures share: fixed places in inches, a heading, legible names, and how a figure becomes a picture.

A cell draws seven figures, and nobody waits for them gladly. So nothing is laid out by measuring all text, which takes
as long as drawing it, and nothing is drawn twice, which `Figure.savefig` does to settle such a layout.
"""

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from PIL import Image

from image_sweeps.fit.evaluate import Evaluation

DPI = 100
SMALL = 8  # points


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    return Figure(figsize=(width, height), dpi=DPI)


def place(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a fixed place, in inches from the lower left corner, open at the top and on the right."""
    whole_width, whole_height = figure.get_size_inches()
    axes = figure.add_axes((left / whole_width, bottom / whole_height, width / whole_width, height / whole_height))
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def heading(figure: Figure, title: str, *lines: str) -> None:
    """A title at the upper left, and under it lines in small print; 0.8 inches hold two of them."""
    width, height = figure.get_size_inches()
    figure.text(0.12 / width, 1 - 0.12 / height, title, fontsize=11, va="top", parse_math=False)
    small_print = "\n".join(lines)
    figure.text(0.12 / width, 1 - 0.38 / height, small_print, fontsize=9, va="top", color="0.35", parse_math=False)


def wrapped(text: str, width: float) -> list[str]:
    """Small print in as many lines as it takes at `width` inches."""
    return textwrap.wrap(text, int(width * 14))


def legible(name: str, max_length: int) -> str:
    """A name as it stands in a figure, in one line; a long one loses its middle. Tables have it whole."""
    line = " ".join(name.split())
    if len(line) <= max_length:
        return line
    tail = max_length // 2
    return f"{line[: max_length - tail - 1]}…{line[-tail:]}"


def width_of(names: Sequence[str], points: float) -> float:
    """The width of the widest name, in inches."""
    font = FontProperties(size=points)
    with _every_script():
        widths = [text_to_path.get_text_width_height_descent(name, font, ismath=False)[0] for name in names]
    return max(widths) / 72


def verdict(evaluation: Evaluation) -> str:
    """The accuracy with its interval, without which it says little, in as many digits as the interval is worth."""
    low, high = evaluation.accuracy_low, evaluation.accuracy_high
    digits = int(high - low < 0.1) + int(high - low < 0.01)
    accuracy, from_, to = (f"{share:.{digits}%}" for share in (evaluation.accuracy, low, high))
    num_images = len(evaluation.labels)
    return f"test accuracy {accuracy} (95% interval {from_} to {to}) on {num_images:,} image{'s'[: num_images != 1]}"


def picture(figure: Figure) -> Image.Image:
    """The figure's pixels, RGB."""
    canvas = FigureCanvasAgg(figure)
    with _every_script(), matplotlib.rc_context({"text.hinting": "none"}):  # hinting is half the time of small print
        canvas.draw()  # type: ignore[no-untyped-call]
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")  # type: ignore[no-untyped-call]


@contextmanager
def _every_script() -> Iterator[None]:
    """Class names come in every script; a letter that the font lacks is drawn as a box, and is no news."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        yield
