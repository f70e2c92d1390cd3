"""The order in which a split is visited, and how its pixels reach the network."""

import torch
from torch import Tensor, nn


def epoch_order(num_images: int, seed: int, epoch: int) -> Tensor:
    """A permutation of the images, int64, drawn from the seed and the epoch alone.

    An epoch's order so depends neither on the device, nor on the epochs before it, nor on who else draws numbers. It is
    the order of a `SubsetRandomSampler` with the same generator.
    """
    return torch.randperm(num_images, generator=epoch_generator(seed, epoch))


def epoch_generator(seed: int, epoch: int, stream: int = 0) -> torch.Generator:
    """Random numbers for one purpose (`stream`) in one epoch of a run."""
    return torch.Generator().manual_seed((seed * 1_000_003 + epoch) * 7 + stream)


def rank_seed(seed: int, epoch: int, rank: int) -> int:
    """What a rank draws its dropout by in one epoch, if it is not the first, which draws as a cell on one device does.

    It depends on nothing that was drawn before, so that no checkpoint need keep it.
    """
    generator = epoch_generator(seed, epoch, stream=2)
    return int(torch.randint(2**63 - 1, (rank,), generator=generator)[-1])


def batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """`order` in batches. A single image left over joins the batch before it: one image has no batch statistics."""
    parts = list(torch.split(order, batch_size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def pixels(images_NCHW: Tensor) -> Tensor:
    """uint8 images as float32 in [0, 1], channels last."""
    return images_NCHW.to(torch.float32, memory_format=torch.channels_last).div_(255)


class Normalize(nn.Module):
    """(x - mean) / std per channel; nothing where that changes nothing.

    Args:
        mean, std: C each, of pixels in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.changes = any(mean) or set(std) != {1.0}
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, images_NCHW: Tensor) -> Tensor:
        return (images_NCHW - self.mean) / self.std if self.changes else images_NCHW
