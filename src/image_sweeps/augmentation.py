"""Random changes of the training images, drawn for each image separately.

torchvision's transforms draw once per call, so that all images of a batch would be turned alike. Here every image gets
its own geometry, a 2 x 3 matrix for one resampling, and its own colour change, a 3 x 3 matrix and an offset for one
product. A batch therefore costs the same however many changes are combined. The numbers are drawn on the CPU, so that
they do not depend on the device.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

Probability = Annotated[float, Field(ge=0, le=1)]
Degrees = Annotated[float, Field(ge=0, le=180)]
Jitter = Annotated[float, Field(ge=0, lt=1)]
Hue = Annotated[float, Field(ge=0, le=0.5)]
Scale = Annotated[tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]], Field(strict=False)]
Ratio = Annotated[tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]], Field(strict=False)]

GREY = torch.tensor([0.299, 0.587, 0.114])
"""The weights of red, green and blue in brightness (ITU-R BT.601)."""

YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
"""The matrix from RGB to brightness and two axes of colour, in whose plane a hue is an angle (FCC, 1953)."""

NUM_DRAWS = 10
"""The number of random numbers per image: six for its geometry, four for its colours."""


@dataclass(frozen=True)
class Augmentation:
    """The possible changes of an image. The defaults change nothing; each choice of the group sets some of them.

    Args:
        flip: the probability of mirroring the image left to right.
        degrees: the largest rotation in either direction; corners that come into view are filled by reflection.
        scale: the smallest and largest area of the crop that is enlarged to the whole image, as a share of the image.
        ratio: the smallest and largest ratio of width to height of that crop, which is cut off at the image's edge.
        brightness, contrast, saturation: the largest relative change in either direction.
        hue: the largest turn in either direction about the grey axis of YIQ, as a share of the colour circle.
    """

    flip: float = 0.0
    degrees: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    ratio: tuple[float, float] = (1.0, 1.0)
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    @staticmethod
    def draws(num_images: int, generator: torch.Generator) -> Tensor:
        """Draw the numbers that determine the changes: float32, N x 10, in [0, 1). `generator` is on the CPU."""
        return torch.rand(num_images, NUM_DRAWS, generator=generator)

    def __call__(self, images_NCHW: Tensor, draws_NK: Tensor) -> Tensor:
        """Return the images, each changed by its own draws.

        Args:
            images_NCHW: float32 in [0, 1], with H = W. Grey images have no saturation and no hue.
            draws_NK: the result of `draws`, one row per image.
        """
        if not len(images_NCHW):  # a share of a batch may be empty, and torch makes no grid for that
            return images_NCHW
        if self.flip or self.degrees or self.scale != (1.0, 1.0) or self.ratio != (1.0, 1.0):
            images_NCHW = _resampled(images_NCHW, self.geometry(draws_NK[:, :6]))
        if self.brightness or self.contrast or self.saturation or self.hue:
            images_NCHW = self.coloured(images_NCHW, draws_NK[:, 6:])
        return images_NCHW

    def geometry(self, draws_N6: Tensor) -> Tensor:
        """Return the affine maps, N x 2 x 3, from new to old coordinates of the pixels, both in [-1, 1]."""
        mirrored, turn, area, shape, across, down = draws_N6.unbind(1)
        angle = (2 * turn - 1) * math.radians(self.degrees)
        area = self.scale[0] + area * (self.scale[1] - self.scale[0])
        ratio = self.ratio[0] * (self.ratio[1] / self.ratio[0]) ** shape
        width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
        sign = 1 - 2 * (mirrored < self.flip).float()
        cos, sin = angle.cos(), angle.sin()
        centre = torch.stack([(2 * across - 1) * (1 - width), (2 * down - 1) * (1 - height)], 1)
        turned = torch.stack([sign * width * cos, -height * sin, sign * width * sin, height * cos], 1).reshape(-1, 2, 2)
        return torch.cat([turned, centre[:, :, None]], 2)

    def coloured(self, images_NCHW: Tensor, draws_N4: Tensor) -> Tensor:
        """Return the images with brightness, then contrast, saturation and hue changed, clamped to [0, 1]."""
        bounds = torch.tensor([self.brightness, self.contrast, self.saturation, 2 * math.pi * self.hue])
        changes = ((2 * draws_N4 - 1) * bounds).to(images_NCHW.device)
        brightness, contrast, saturation = (1 + changes[:, :3]).unbind(1)
        num_channels = images_NCHW.shape[1]
        grey = GREY.to(images_NCHW.device) if num_channels == 3 else torch.ones(1, device=images_NCHW.device)
        matrix_N33 = brightness[:, None, None] * torch.eye(num_channels, device=images_NCHW.device)
        if num_channels == 3:
            to_grey = grey.expand(3, 3)
            saturated = to_grey + saturation[:, None, None] * (torch.eye(3, device=grey.device) - to_grey)
            matrix_N33 = _hue_turned(changes[:, 3]) @ saturated @ matrix_N33
        mean_N = torch.einsum("nchw,c->n", images_NCHW, grey) / images_NCHW[0, 0].numel() * brightness
        offset_N = (1 - contrast) * mean_N  # grey stays grey under saturation and hue
        matrix_N33 = matrix_N33 * contrast[:, None, None]
        changed = torch.einsum("nij,njhw->nihw", matrix_N33, images_NCHW) + offset_N[:, None, None, None]
        return changed.clamp(0, 1).contiguous(memory_format=torch.channels_last)


def _hue_turned(angle_N: Tensor) -> Tensor:
    """Return the N x 3 x 3 matrices that turn the hue of RGB by these angles, in radians, and keep the brightness."""
    cos, sin, zero, one = angle_N.cos(), angle_N.sin(), torch.zeros_like(angle_N), torch.ones_like(angle_N)
    turn = torch.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], 1).reshape(-1, 3, 3)
    to_yiq = YIQ.to(angle_N.device)
    turned: Tensor = torch.linalg.inv(to_yiq) @ turn @ to_yiq
    return turned


def _resampled(images_NCHW: Tensor, geometry_N23: Tensor) -> Tensor:
    grid = F.affine_grid(geometry_N23.to(images_NCHW.device), list(images_NCHW.shape), align_corners=False)
    sampled = F.grid_sample(images_NCHW, grid, padding_mode="reflection", align_corners=False)
    return sampled.contiguous(memory_format=torch.channels_last)


def none() -> Augmentation:
    """Return an augmentation that changes nothing."""
    return Augmentation()


def flip(*, probability: Probability) -> Augmentation:
    """Return an augmentation that mirrors images left to right."""
    return Augmentation(flip=probability)


def rotate(*, degrees: Degrees) -> Augmentation:
    """Return an augmentation that rotates images by up to `degrees` in either direction."""
    return Augmentation(degrees=degrees)


def color_jitter(*, brightness: Jitter, contrast: Jitter, saturation: Jitter, hue: Hue) -> Augmentation:
    """Return an augmentation that changes colours."""
    return Augmentation(brightness=brightness, contrast=contrast, saturation=saturation, hue=hue)


def resized_crop(*, scale: Scale, ratio: Ratio) -> Augmentation:
    """Return an augmentation that enlarges crops to whole images (Szegedy et al., 2014, arXiv:1409.4842, section 6)."""
    return Augmentation(scale=scale, ratio=ratio)


def standard(
    *,
    probability: Probability,
    degrees: Degrees,
    brightness: Jitter,
    contrast: Jitter,
    saturation: Jitter,
    hue: Hue,
    scale: Scale,
    ratio: Ratio,
) -> Augmentation:
    """Return an augmentation that combines flip, rotation, colour jitter and resized crop."""
    return Augmentation(probability, degrees, scale, ratio, brightness, contrast, saturation, hue)
