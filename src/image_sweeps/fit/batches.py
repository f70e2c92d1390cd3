"""The order in which a split is visited, and the preparation of its pixels for the network."""

import torch
from torch import Tensor, nn


def epoch_order(num_images: int, seed: int, epoch: int) -> Tensor:
    """Return a permutation of the images, int64, N, drawn from the seed and the epoch alone.

    The order therefore depends neither on the device, nor on earlier epochs, nor on other users of random numbers. It
    is the order of a `SubsetRandomSampler` with the same generator.
    """
    return torch.randperm(num_images, generator=epoch_generator(seed, epoch))


def epoch_generator(seed: int, epoch: int, stream: int = 0) -> torch.Generator:
    """Return a random number generator for one purpose (`stream`) in one epoch of a run."""
    return torch.Generator().manual_seed((seed * 1_000_003 + epoch) * 7 + stream)


def rank_seed(seed: int, epoch: int, rank: int) -> int:
    """Return the seed for dropout in one epoch on a rank other than 0. Rank 0 draws as a cell on one device does.

    The seed does not depend on earlier draws, so that no checkpoint has to keep it.
    """
    generator = epoch_generator(seed, epoch, stream=2)
    return int(torch.randint(2**63 - 1, (rank,), generator=generator)[-1])


def batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """Split `order` into batches. A single last image joins the batch before it: one image has no batch statistics."""
    parts = list(torch.split(order, batch_size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def pixels(images_NCHW: Tensor) -> Tensor:
    """Return uint8 images as float32 in [0, 1], channels last."""
    return images_NCHW.to(torch.float32, memory_format=torch.channels_last).div_(255)


class Normalize(nn.Module):
    """The normalisation (x - mean) / std per channel, skipped if mean is 0 and std is 1 in all channels.

    Args:
        mean, std: mean and deviation of pixels in [0, 1], one value per channel, C.
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
