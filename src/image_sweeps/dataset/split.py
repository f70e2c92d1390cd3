"""The division of the images into training, validation and test."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from image_sweeps.dataset.source import DataError, Dataset, Index, Role

Positions = NDArray[np.int64]


class SplitPositions(NamedTuple):
    """Ascending positions in the index, int64; every image is in at most one split."""

    train: Positions
    val: Positions
    test: Positions


def split(source: Dataset, index: Index) -> SplitPositions:
    """Return the splits of `source`. Those that it does not publish are drawn by split_seed, stratified by class.

    Raises:
        DataError: if a class has too few images; the message names the class.
    """
    rest = np.flatnonzero((index.roles == Role.UNASSIGNED) | (index.roles == Role.TRAIN))
    val, test = np.flatnonzero(index.roles == Role.VAL), np.flatnonzero(index.roles == Role.TEST)
    draw = _Draw(source, index)
    if source.folds > 1:
        rest, held_out = draw.fold(rest)
        val, test = (held_out, test) if len(test) else (val, held_out)
    if not len(test):
        assert source.held_out is not None
        rest, test = draw.fraction(rest, source.held_out, "test_fraction")
    if not len(val):
        rest, val = draw.fraction(rest, source.val_fraction, "val_fraction")
    if source.train_fraction < 1:
        _, rest = draw.fraction(rest, source.train_fraction, "train_fraction")
    return SplitPositions(rest, val, test)


def refuse_single_images(source: Dataset, index: Index) -> None:
    """Refuse a class with so few images that no draw can split it, before any image is decoded.

    Raises:
        DataError: if there is such a class; the message names it.
    """
    given = set(index.roles.tolist())
    if Role.TEST not in given or Role.VAL not in given:
        key = "val_fraction" if Role.TEST in given else "test_fraction"
        pool = np.flatnonzero((index.roles == Role.UNASSIGNED) | (index.roles == Role.TRAIN))
        _Draw(source, index).refuse_small_classes(index.labels[pool], 2, f"dataset.{key} = {getattr(source, key)}")


@dataclass(frozen=True)
class _Draw:
    """Stratified draws from the images of a source."""

    source: Dataset
    index: Index

    def fraction(self, pool: Positions, fraction: float, key: str) -> tuple[Positions, Positions]:
        """Return two parts of `pool`, the second with the share `fraction`; messages name the setting `key`."""
        from sklearn.model_selection import train_test_split

        labels = self.index.labels[pool]
        self.refuse_small_classes(labels, 2, f"dataset.{key} = {fraction}")
        try:
            first, second = train_test_split(
                pool, test_size=fraction, random_state=self.source.split_seed, stratify=labels
            )
        except ValueError as error:
            raise DataError(f"dataset.{key} = {fraction}: cannot split the {len(pool)} images. {error}") from None
        return np.sort(first), np.sort(second)

    def fold(self, pool: Positions) -> tuple[Positions, Positions]:
        """Return `pool` without fold `source.fold`, and that fold."""
        from sklearn.model_selection import StratifiedKFold

        labels = self.index.labels[pool]
        self.refuse_small_classes(labels, self.source.folds, f"dataset.folds = {self.source.folds}")
        folds: Any = StratifiedKFold(self.source.folds, shuffle=True, random_state=self.source.split_seed)
        rest, held_out = list(folds.split(pool, labels))[self.source.fold]
        return pool[rest], pool[held_out]

    def refuse_small_classes(self, labels: NDArray[np.int64], needed: int, setting: str) -> None:
        """Refuse classes with fewer images than `setting` needs."""
        counts = np.bincount(labels, minlength=len(self.source.class_names))
        if small := [
            f"{name} has {count}" for name, count in zip(self.source.class_names, counts, strict=True) if count < needed
        ]:
            more = f" and {len(small) - 5} classes more" if len(small) > 5 else ""
            raise DataError(
                f"{setting}: needs at least {needed} images of every class to split; {', '.join(small[:5])}{more}"
            )
