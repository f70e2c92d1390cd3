"""Decoded images, held in memory or streamed from the disk; both yield the same batches."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

_START = "fork" if sys.platform == "linux" else None
"""The start method of workers. A cell of a sweep is a child of a fork server; by default Python would start another
fork server for each cell, which imports torch for five seconds."""

Batch = tuple[Tensor, Tensor]
"""A batch on the device of its set: images, uint8, n x C x H x W, and labels, int64, n."""


@dataclass(frozen=True)
class ImageSet:
    """Images in memory, on one device.

    Attributes:
        images: uint8, N x C x H x W.
        labels: int64, N, indices into the class names.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        return self.labels.device

    def to(self, device: torch.device) -> "ImageSet":
        return ImageSet(self.images.to(device), self.labels.to(device))

    def batches(self, steps: Sequence[Tensor]) -> Iterator[Batch]:
        """Yield one batch for each step; a step is the positions of its images in this set, int64."""
        for index in steps:
            yield self.images[index], self.labels[index]


@dataclass(frozen=True)
class StreamedSet:
    """Images on the disk, read ahead by worker processes.

    Attributes:
        path: the path of an array in NumPy's format, uint8, M x C x H x W.
        positions: int64, N, the rows of this set's images in the array.
        labels: int64, N, indices into the class names, on the device to which batches are moved.
        num_workers: the number of worker processes; 0 reads in the training process.
    """

    path: Path
    positions: NDArray[np.int64]
    labels: Tensor
    num_workers: int

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        return self.labels.device

    def to(self, device: torch.device) -> "StreamedSet":
        return StreamedSet(self.path, self.positions, self.labels.to(device), self.num_workers)

    def batches(self, steps: Sequence[Tensor]) -> Iterator[Batch]:
        """Yield one batch for each step; a step is the positions of its images in this set, int64."""
        loader = DataLoader(
            _Rows(self.path, self.positions),
            batch_sampler=[index.tolist() for index in steps],
            num_workers=self.num_workers,
            multiprocessing_context=_START if self.num_workers else None,
            generator=torch.Generator(),  # otherwise starting workers would draw from dropout's generator
            collate_fn=_as_it_is,
            pin_memory=self.device.type == "cuda",
        )
        for images, index in zip(loader, steps, strict=True):
            yield images.to(self.device, non_blocking=True), self.labels[index.to(self.device)]


Images = ImageSet | StreamedSet
"""Either kind of set; code that asks for batches need not know which."""


class _Rows(torch.utils.data.Dataset[Tensor]):
    """Single rows of an array on the disk. Only the path is sent to workers; each of them maps the array itself."""

    def __init__(self, path: Path, positions: NDArray[np.int64]) -> None:
        self.path = path
        self.positions = positions

    @cached_property
    def rows(self) -> NDArray[np.uint8]:
        rows: NDArray[np.uint8] = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return rows

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(self.rows[self.positions[index]].copy())

    def __getitems__(self, indices: list[int]) -> Tensor:
        """Return a whole batch, which may be empty, as a rank's share of a small batch can be."""
        return torch.from_numpy(self.rows[self.positions[indices]])


def _as_it_is(batch: Any) -> Any:
    return batch
