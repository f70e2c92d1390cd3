"""The order in which a split is visited, and how its pixels reach the network."""

import torch
from torch import Tensor


def epoch_order(num_images: int, seed: int, epoch: int) -> Tensor:
    """A permutation of the images, int64, drawn from the seed and the epoch alone.

    An epoch's order so depends neither on the device, nor on the epochs before it, nor on who else draws numbers.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(num_images, generator=generator)


def batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """`order` in batches. A single image left over joins the batch before it: one image has no batch statistics."""
    parts = list(torch.split(order, batch_size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def pixels(images_NCHW: Tensor) -> Tensor:
    """uint8 images as the network takes them: float32 in [0, 1], channels last."""
    return images_NCHW.to(torch.float32, memory_format=torch.channels_last).div_(255)
