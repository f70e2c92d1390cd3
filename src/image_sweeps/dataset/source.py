"""The base class of data sets, and the types of its results.

torchvision and scikit-learn are imported only where images are read: without them, the check of a configuration takes
half the time.
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
    """The split into which the source itself puts an image; UNASSIGNED leaves it to the seed."""

    UNASSIGNED = 0
    TRAIN = 1
    VAL = 2
    TEST = 3


@dataclass(frozen=True)
class Index:
    """The labels and roles of the images, which are known before any image is decoded.

    Attributes:
        labels: int64, N, indices into the class names.
        roles: uint8, N, values of `Role`.
    """

    labels: NDArray[np.int64]
    roles: NDArray[np.uint8]


class Decoded(NamedTuple):
    """Some decoded images.

    Attributes:
        positions: int64, n, ascending positions of the images in the index; images that cannot be decoded are left out.
        images: uint8, n x C x H x W, at the data set's size and number of channels.
    """

    positions: NDArray[np.int64]
    images: NDArray[np.uint8]


@dataclass(frozen=True)
class Dataset(ABC):
    """A source of labelled images, all converted to one size and one number of channels.

    Args:
        data_dir: the folder in which files are looked for, and into which they are downloaded.
        image_size: height and width in pixels; images are resized bilinearly with antialiasing.
        channels: 1 for grey, 3 for RGB; grey channels are repeated, colour channels are weighted (ITU-R BT.601).
        normalize: `dataset`: to mean 0 and standard deviation 1 per channel, of the training split; `half`: from [0, 1]
            to [-1, 1]; `none`: pixels stay in [0, 1].
        val_fraction: the share of the training images that is used for validation, stratified by class.
        folds: 1, or the number of folds of a stratified k-fold cross-validation.
        fold: the held-out fold, from 0; it is the validation split if the source publishes a test split, else the test
            split.
        split_seed: the seed of the splits, separate from the seed of the training.
        train_fraction: the share of the remaining training images that is used, stratified by class, drawn by
            split_seed. Validation and test are the same for every fraction. The images of a smaller fraction need not
            be among those of a larger one.
        memory_budget_mb: the largest size in MiB of a decoded set in memory; a larger set is streamed from the disk.
        num_workers: the number of processes that stream a set from the disk.
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
    split_seed: Annotated[int, Field(ge=0, lt=2**32)]  # NumPy's generator takes no larger seed
    train_fraction: Annotated[float, Field(gt=0, le=1)]
    memory_budget_mb: PositiveInt
    num_workers: NonNegativeInt

    @property
    def shape(self) -> Shape:
        return Shape(self.channels, self.image_size, self.image_size)

    @property
    @abstractmethod
    def class_names(self) -> Sequence[str]:
        """The names of the classes, in the order of the labels. Sources of files have to list their files for them."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A digest of the original images and labels, before any resizing: 16 hexadecimal digits."""

    @property
    def decoding(self) -> str:
        """The settings besides size and channels that change the decoded images, as a part of the cache's file name."""
        return ""

    @property
    def held_out(self) -> float | None:
        """The share of the images that is held out for the test, or None if the source publishes a test split."""
        return getattr(self, "test_fraction", None)

    def prepare(self) -> None:  # noqa: B027, a data set that is bundled has nothing to do
        """Make the files available, downloading what is missing.

        Raises:
            DataError: if the files cannot be made available.
        """

    @abstractmethod
    def index(self) -> Index:
        """Return the labels and roles of all images, in the order in which `decode` yields the images.

        Raises:
            DataError: if the files are invalid.
        """

    @abstractmethod
    def decode(self) -> Iterator[Decoded]:
        """Yield the decoded images in chunks.

        Raises:
            DataError: if an image cannot be decoded and must not be left out.
        """

    def at_once(self, most: int) -> int:
        """Return the number of images to decode at a time: at most `most` and at most 64 MiB, but at least one."""
        return min(most, max(1, 2**26 // math.prod(self.shape)))

    def describe(self, positions: Sequence[int]) -> list[str]:
        """Return the source's names of these images, for messages."""
        return [f"image {position}" for position in positions]

    def resized(self, images: Tensor) -> NDArray[np.uint8]:
        """Return uint8 images n x c x h x w as n x C x H x W, with this data set's size and number of channels."""
        from torchvision.transforms.v2 import functional as transforms

        images = transforms.resize(images, [self.image_size, self.image_size], antialias=True)
        recolour = transforms.rgb_to_grayscale if self.channels == 1 else transforms.grayscale_to_rgb
        recoloured: NDArray[np.uint8] = recolour(images).numpy()
        return recoloured
