"""Figures of many images, each with a caption."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from image_sweeps.fit.evaluate import Evaluation
from image_sweeps.system.text import legible
from image_sweeps.tracking.figures.frame import DPI, SMALL, accuracy_text, heading, new_figure

TILE = 128  # pixels; a multiple of the usual sizes of small images
GAP = 12
LINE = 14  # pixels from one line of a caption to the next
HEADING = 80

MAX_MISTAKES, MAX_BATCH = 24, 32
MAX_NAME = 20  # characters across a tile


class Caption(NamedTuple):
    """The caption of an image: its label, and the prediction for it, if any."""

    label: str
    prediction: str = ""


class Mosaic(Artist):
    """An image that covers the figure pixel for pixel. matplotlib resamples its own images first, which takes longer.

    Args:
        pixels: uint8, height x width x RGBA.
        num_images: the number of images in the mosaic.
    """

    def __init__(self, pixels: NDArray[np.uint8], num_images: int) -> None:
        super().__init__()
        self.pixels = pixels
        self.num_images = num_images

    def draw(self, renderer: RendererBase) -> None:
        renderer.draw_image(renderer.new_gc(), 0, 0, self.pixels[::-1])


def mistakes(evaluation: Evaluation, images: Tensor, class_names: Sequence[str]) -> Figure:
    """Draw the most confident mistakes, each with its label and its prediction.

    Args:
        evaluation: the evaluation on the test split.
        images: the images of the first MAX_MISTAKES of `evaluation.mistakes`, in that order, uint8, n x C x H x W.
        class_names: the names of the classes, K.
    """
    num_mistakes = len(evaluation.mistakes)
    shown = evaluation.mistakes[:MAX_MISTAKES]
    captions = []
    for i in shown:
        label, prediction = class_names[evaluation.labels[i]], class_names[evaluation.predictions[i]]
        confidence = f"{evaluation.confidence[i]:.1%}"
        captions.append(Caption(legible(label, MAX_NAME), f"{legible(prediction, MAX_NAME - 7)}, {confidence}"))
    if not num_mistakes:
        return _mosaic(images, captions, 6, "No mistakes", accuracy_text(evaluation))
    title = f"The {len(shown)} most confident of {num_mistakes:,} mistakes"
    if num_mistakes <= MAX_MISTAKES:
        title = "The only mistake" if num_mistakes == 1 else f"All {num_mistakes} mistakes, the most confident first"
    key = "black: the label; red: the prediction, and how confident it was"
    return _mosaic(images, captions, 6, title, accuracy_text(evaluation), key)


def batch(images: Tensor, labels: Tensor, class_names: Sequence[str]) -> Figure:
    """Draw a training batch as the network sees it, but without the normalisation.

    Args:
        images: float32 in [0, 1], N x C x H x W.
        labels: int64, N.
        class_names: the names of the classes, K.
    """
    shown = images[:MAX_BATCH].mul(255).round().clamp(0, 255).to("cpu", torch.uint8)
    captions = [Caption(legible(class_names[label], MAX_NAME)) for label in labels[:MAX_BATCH].tolist()]
    title = f"{len(shown)} of the {len(images)} training images of a batch"
    return _mosaic(shown, captions, 8, title, "as the network sees them: after augmentation, before normalisation")


def _mosaic(images: Tensor, captions: Sequence[Caption], num_columns: int, title: str, *lines: str) -> Figure:
    """Draw images in rows under a heading, as one artist: separate axes for each would take ten times as long."""
    pitch_x, pitch_y = TILE + GAP, TILE + GAP + LINE * (2 if any(c.prediction for c in captions) else 1)
    width, height = GAP + num_columns * pitch_x, HEADING + -(-len(captions) // num_columns) * pitch_y
    figure = new_figure(width / DPI, height / DPI)
    heading(figure, title, *lines)
    pixels = np.full((height, width, 4), 255, np.uint8)
    style: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": SMALL, "parse_math": False}
    for position, (tile, caption) in enumerate(zip(_tiles(images), captions, strict=True)):
        row, column = divmod(position, num_columns)
        top, left = HEADING + row * pitch_y, GAP + column * pitch_x
        bottom, inset = top + TILE, left + (TILE - tile.shape[1]) // 2
        pixels[bottom - tile.shape[0] : bottom, inset : inset + tile.shape[1], :3] = tile
        x, y = (left + TILE / 2) / width, 1 - (bottom + 3) / height
        figure.text(x, y, caption.label, **style)
        if caption.prediction:
            figure.text(x, y - LINE / height, caption.prediction, color="tab:red", **style)
    figure.add_artist(Mosaic(pixels, len(captions)))
    return figure


def _tiles(images: Tensor) -> NDArray[np.uint8]:
    """Return RGB images, N x H x W x 3, scaled to fit TILE; small images are enlarged by repeating each pixel."""
    height, width = images.shape[-2:]
    longest = max(height, width)
    if longest > TILE:
        sizes = [max(1, side * TILE // longest) for side in (height, width)]
        images = transforms.resize(images, sizes, antialias=True)
    else:
        images = images.repeat_interleave(TILE // longest, 2).repeat_interleave(TILE // longest, 3)
    return images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
