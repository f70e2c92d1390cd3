"""What every data set is and gives.

torchvision and scikit-learn are imported where images are read: a configuration is checked without them, in half the
time.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from image_sweeps.config.problems import DataError as DataError

Fraction = Annotated[float, Field(gt=0, lt=1)]


class Shape(NamedTuple):
    """The shape of one image."""

    channels: int
    height: int
    width: int


class Role(IntEnum):
    """Which split the source itself puts an image into; UNASSIGNED leaves it to the seed."""

    UNASSIGNED = 0
    TRAIN = 1
    VAL = 2
    TEST = 3


@dataclass(frozen=True)
class Index:
    """What is known of the images before any is decoded.

    Attributes:
        labels: int64, N, indices into the class names.
        roles: uint8, N, values of `Role`.
    """

    labels: NDArray[np.int64]
    roles: NDArray[np.uint8]


class Decoded(NamedTuple):
    """Some decoded images.

    Attributes:
        positions: int64, n, ascending, of the images in the index; one that could not be decoded is left out.
        images: uint8, n x C x H x W, at the data set's size and number of channels.
    """

    positions: NDArray[np.int64]
    images: NDArray[np.uint8]


@dataclass(frozen=True)
class Dataset(ABC):
    """A source of labelled images, all brought to one size and one number of channels.

    Args:
        data_dir: where files are looked for, and downloaded to.
        image_size: height and width in pixels; bilinear, antialiased.
        channels: 1 for grey, 3 for RGB; grey images are repeated, colour images weighted (ITU-R BT.601).
        normalize: `dataset`: to mean 0 and standard deviation 1 per channel, of the training split; `half`: from [0, 1]
            to [-1, 1]; `none`: pixels stay in [0, 1].
        val_fraction: the share of the training images that validation gets, stratified by class.
        folds: 1, or the number of parts of a stratified k-fold cross-validation.
        fold: which part is held out, from 0: for the test, or, where the source publishes a test split, for validation.
        split_seed: what draws the splits; separate from the seed of the training.
        train_fraction: how many of the images that are left to train on are used, stratified by class, drawn by
            split_seed. Validation and test are the same for every fraction, and of two fractions the smaller one's
            images need not be among the larger one's.
        memory_budget_mb: a larger set, decoded, is streamed from the disk.
        num_workers: the processes that stream it.
    """

    name: ClassVar[str]
    origin: ClassVar[str]

    data_dir: Path
    _: KW_ONLY
    image_size: Annotated[int, Field(ge=1, le=4096)]
    channels: Literal[1, 3]
    normalize: Literal["dataset", "half", "none"]
    val_fraction: Fraction
    folds: PositiveInt
    fold: NonNegativeInt
    split_seed: Annotated[int, Field(ge=0, lt=2**32)]  # NumPy's generator takes no larger one
    train_fraction: Annotated[float, Field(gt=0, le=1)]
    memory_budget_mb: PositiveInt
    num_workers: NonNegativeInt

    @property
    def shape(self) -> Shape:
        return Shape(self.channels, self.image_size, self.image_size)

    @property
    @abstractmethod
    def class_names(self) -> Sequence[str]:
        """The names of the classes, in the order of the labels. A source of files has to look at them."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A digest of the images and labels as they come, before any resizing: 16 hexadecimal digits."""

    @property
    def decoding(self) -> str:
        """What decodes the same files to other images, besides size and channels, as part of a file's name."""
        return ""

    @property
    def held_out(self) -> float | None:
        """The share of the images that is held out for the test, or None where the source publishes a test split."""
        return getattr(self, "test_fraction", None)

    def prepare(self) -> None:  # noqa: B027, a data set that is bundled has nothing to do
        """Make the files available, downloading what is missing.

        Raises:
            DataError: where that cannot be done.
        """

    @abstractmethod
    def index(self) -> Index:
        """The labels of all images, in the order in which `decode` gives them.

        Raises:
            DataError: where the files are not what they should be.
        """

    @abstractmethod
    def decode(self) -> Iterator[Decoded]:
        """The images, some at a time.

        Raises:
            DataError: where one cannot be decoded and must not be left out.
        """

    def at_once(self, most: int) -> int:
        """How many images to decode at a time: at most `most`, and no more than 64 MB, but at least one."""
        return min(most, max(1, 2**26 // math.prod(self.shape)))

    def describe(self, positions: Sequence[int]) -> list[str]:
        """What the source calls these images; for messages."""
        return [f"image {position}" for position in positions]

    def resized(self, images: Tensor) -> NDArray[np.uint8]:
        """uint8 images n x C x h x w at this data set's size and number of channels."""
        from torchvision.transforms.v2 import functional as transforms

        images = transforms.resize(images, [self.image_size, self.image_size], antialias=True)
        recolour = transforms.rgb_to_grayscale if self.channels == 1 else transforms.grayscale_to_rgb
        recoloured: NDArray[np.uint8] = recolour(images).numpy()
        return recoloured
