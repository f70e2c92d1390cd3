"""What every data set is and gives.

torchvision and scikit-learn are imported where images are read: a configuration is checked without them, in half the
time.
"""

from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor

Fraction = Annotated[float, Field(gt=0, lt=1)]


class DataError(Exception):
    """The data cannot be had or cannot be used; the message says what was looked for, where, and the ways out."""


class Shape(NamedTuple):
    """The shape of one image."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class ImageSet:
    """Decoded images.

    Attributes:
        images: uint8, N x C x H x W.
        labels: int64, N, indices into the class names.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor) -> "ImageSet":
        return ImageSet(self.images[index], self.labels[index])

    def to(self, device: torch.device) -> "ImageSet":
        return ImageSet(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Splits:
    """The three parts of a data set; what stands in one stands in no other."""

    train: ImageSet
    val: ImageSet
    test: ImageSet


@dataclass(frozen=True)
class Dataset(ABC):
    """A source of labelled images, all brought to one size and one number of channels.

    Args:
        data_dir: where files are looked for, and downloaded to.
        image_size: height and width in pixels; bilinear, antialiased.
        channels: 1 for grey, 3 for RGB; grey images are repeated, colour images weighted (ITU-R BT.601).
        val_fraction: the share of the training images that validation gets, stratified by class.
        split_seed: what draws the splits; separate from the seed of the training.
    """

    name: ClassVar[str]
    origin: ClassVar[str]
    class_names: ClassVar[tuple[str, ...]]

    data_dir: Path
    _: KW_ONLY
    image_size: Annotated[int, Field(ge=1, le=4096)]
    channels: Literal[1, 3]
    val_fraction: Fraction
    split_seed: NonNegativeInt

    @property
    def shape(self) -> Shape:
        return Shape(self.channels, self.image_size, self.image_size)

    def prepare(self) -> None:  # noqa: B027, a data set that is bundled has nothing to do
        """Make the files available, downloading what is missing.

        Raises:
            DataError: where that cannot be done.
        """

    @cached_property
    @abstractmethod
    def fingerprint(self) -> str:
        """A digest of the images and labels as they come, before any resizing: 16 hexadecimal digits."""

    @abstractmethod
    def load(self) -> Splits:
        """Decode, resize and split.

        Raises:
            DataError: where the files are not what they should be, or are too few to split.
        """

    def resized(self, images: Tensor) -> Tensor:
        """uint8 images N x C x H x W at this data set's size and number of channels."""
        from torchvision.transforms.v2 import functional as transforms

        images = transforms.resize(images, [self.image_size, self.image_size], antialias=True)
        recolour = transforms.rgb_to_grayscale if self.channels == 1 else transforms.grayscale_to_rgb
        recoloured: Tensor = recolour(images)
        return recoloured

    def split(self, whole: ImageSet, fraction: float, key: str) -> tuple[ImageSet, ImageSet]:
        """The set in two, stratified by class, the second with `fraction` of the images; `key` named the fraction."""
        from sklearn.model_selection import train_test_split

        try:
            first, second = train_test_split(
                np.arange(len(whole)), test_size=fraction, random_state=self.split_seed, stratify=whole.labels.numpy()
            )
        except ValueError as error:
            raise DataError(f"dataset.{key} = {fraction}: cannot split the {len(whole)} images. {error}") from None
        return whole[torch.from_numpy(np.sort(first))], whole[torch.from_numpy(np.sort(second))]
