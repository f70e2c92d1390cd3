"""The common parts of all figures: axes at fixed places in inches, headings, legible names, and rendering to pixels.

A cell draws seven figures, which should not delay it. So nothing is laid out by measuring all text, which takes as long
as drawing it, and nothing is drawn twice, as `Figure.savefig` does to settle such a layout.
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
    """Return an empty figure of this size in inches."""
    return Figure(figsize=(width, height), dpi=DPI)


def place(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Add axes at a fixed place, in inches from the lower left corner, without spines at the top and on the right."""
    whole_width, whole_height = figure.get_size_inches()
    axes = figure.add_axes((left / whole_width, bottom / whole_height, width / whole_width, height / whole_height))
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def heading(figure: Figure, title: str, *lines: str) -> None:
    """Add a title at the upper left, and below it lines in small print; 0.8 inches hold two of these lines."""
    width, height = figure.get_size_inches()
    figure.text(0.12 / width, 1 - 0.12 / height, title, fontsize=11, va="top", parse_math=False)
    small_print = "\n".join(lines)
    figure.text(0.12 / width, 1 - 0.38 / height, small_print, fontsize=9, va="top", color="0.35", parse_math=False)


def wrapped(text: str, width: float) -> list[str]:
    """Split small print into lines of at most `width` inches."""
    return textwrap.wrap(text, int(width * 14))


def width_of(names: Sequence[str], points: float) -> float:
    """Return the width of the widest name in inches, at a font size of `points`."""
    font = FontProperties(size=points)
    with _every_script():
        widths = [text_to_path.get_text_width_height_descent(name, font, ismath=False)[0] for name in names]
    return max(widths) / 72


def accuracy_text(evaluation: Evaluation) -> str:
    """Return the accuracy with its interval as text, in as many digits as the width of the interval justifies."""
    low, high = evaluation.accuracy_low, evaluation.accuracy_high
    digits = int(high - low < 0.1) + int(high - low < 0.01)
    accuracy, from_, to = (f"{share:.{digits}%}" for share in (evaluation.accuracy, low, high))
    num_images = len(evaluation.labels)
    return f"test accuracy {accuracy} (95% interval {from_} to {to}) on {num_images:,} image{'s'[: num_images != 1]}"


def picture(figure: Figure) -> Image.Image:
    """Return the pixels of the figure, RGB."""
    canvas = FigureCanvasAgg(figure)
    with _every_script(), matplotlib.rc_context({"text.hinting": "none"}):  # hinting is half the time of small print
        canvas.draw()  # type: ignore[no-untyped-call]
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")  # type: ignore[no-untyped-call]


@contextmanager
def _every_script() -> Iterator[None]:
    """Suppress warnings about letters that the font lacks and draws as a box: class names come in every script."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        yield
