"""Loading of a source as the splits for the training, validation and test of a cell."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from image_sweeps.dataset.cache import Rows, rows
from image_sweeps.dataset.images import Images, ImageSet, StreamedSet
from image_sweeps.dataset.source import Dataset, Index
from image_sweeps.dataset.split import Positions, split


@dataclass(frozen=True)
class Splits:
    """The three disjoint parts of a data set.

    Attributes:
        mean, std: C values each, to subtract from pixels in [0, 1] and to divide them by: constants, or statistics of
            the training pixels with `dataset.normalize=dataset`.
        skipped: the source's names of the images that could not be decoded.
    """

    train: Images
    val: Images
    test: Images
    mean: tuple[float, ...]
    std: tuple[float, ...]
    skipped: tuple[str, ...]


def load(source: Dataset, cache_dir: Path) -> Splits:
    """Decode the images, or take them from the cache, and split them.

    Raises:
        DataError: if the files are invalid, or there are too few of them to split.
    """
    index = source.index()
    decoded = rows(source, len(index.labels), cache_dir)
    kept = Index(index.labels[decoded.positions], index.roles[decoded.positions])
    positions = split(source, kept)
    mean, std = _normalization(source, decoded, positions.train)
    lost = np.setdiff1d(np.arange(len(index.labels)), decoded.positions)
    train, val, test = (_images(source, decoded, kept, part) for part in positions)
    return Splits(train, val, test, mean, std, tuple(source.describe(lost.tolist())))


def _images(source: Dataset, decoded: Rows, index: Index, positions: Positions) -> Images:
    labels = torch.from_numpy(index.labels[positions])
    if decoded.images.nbytes > source.memory_budget_mb * 2**20:
        return StreamedSet(decoded.path, positions, labels, source.num_workers)
    return ImageSet(torch.from_numpy(decoded.images[positions]), labels)


def _normalization(source: Dataset, decoded: Rows, train: Positions) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation to normalize by; statistics are those of the training split only."""
    if source.normalize != "dataset":
        value = 0.5 if source.normalize == "half" else 0.0
        return (value,) * source.channels, (value or 1.0,) * source.channels
    counts = np.zeros((source.channels, 256), dtype=np.int64)  # counts of the 256 pixel values lose no precision
    step = max(1, source.at_once(1024) // 8)  # bincount takes 8 bytes per pixel
    for start in range(0, len(train), step):
        part = decoded.images[train[start : start + step]]
        for channel in range(source.channels):
            counts[channel] += np.bincount(part[:, channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    shares = counts / counts.sum(1, keepdims=True)
    mean = shares @ values
    std = np.sqrt((shares * (values - mean[:, None]) ** 2).sum(1))
    std[std == 0] = 1  # a constant channel becomes 0
    return tuple(mean.tolist()), tuple(std.tolist())
