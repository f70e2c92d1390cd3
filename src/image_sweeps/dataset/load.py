"""From a source to the splits that a cell is trained, chosen and tested on."""

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
    """The three parts of a data set; what stands in one stands in no other.

    Attributes:
        mean, std: C each, of the training pixels in [0, 1]; what `dataset.normalize` says to subtract and divide by.
        skipped: the images that could not be decoded, as the source calls them.
    """

    train: Images
    val: Images
    test: Images
    mean: tuple[float, ...]
    std: tuple[float, ...]
    skipped: tuple[str, ...]


def load(source: Dataset, cache_dir: Path) -> Splits:
    """Decode, or take from the cache, and split.

    Raises:
        DataError: where the files are not what they should be, or are too few to split.
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
    """The mean and standard deviation to normalise by; of the training split only."""
    if source.normalize != "dataset":
        value = 0.5 if source.normalize == "half" else 0.0
        return (value,) * source.channels, (value or 1.0,) * source.channels
    counts = np.zeros((source.channels, 256), dtype=np.int64)  # pixels have 256 values: count each, and nothing is lost
    step = max(1, source.at_once(1024) // 8)  # bincount makes 8 bytes of each
    for start in range(0, len(train), step):
        part = decoded.images[train[start : start + step]]
        for channel in range(source.channels):
            counts[channel] += np.bincount(part[:, channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    shares = counts / counts.sum(1, keepdims=True)
    mean = shares @ values
    std = np.sqrt((shares * (values - mean[:, None]) ** 2).sum(1))
    std[std == 0] = 1  # a channel of one value stays that value
    return tuple(mean.tolist()), tuple(std.tolist())
