"""Results on single test images: the errors of the best network, and comparisons of networks on the same images."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from image_sweeps.fit.calibration import wilson
from image_sweeps.report.effects import CERTAIN
from image_sweeps.report.record import CHOSEN_BY, Artifacts, Confusion, Predictions, Record
from image_sweeps.report.statistics import holm, mcnemar

MAX_COMPARED = 5
"""The largest number of configurations that are compared pairwise: ten pairs."""

MAX_CLASSES = 5
MAX_CONFUSIONS = 5

SPLIT_KEYS = ("dataset.folds", "dataset.fold", "dataset.split_seed", "dataset.test_fraction")
"""The keys that decide, together with the content of the data set, which images are the test split."""


@dataclass(frozen=True)
class ClassResult:
    """The test results of one class.

    Attributes:
        name: the name of the class.
        num_images: the number of its images in the test split.
        recall, low, high: the share of these images that was recognised, and its 95% Wilson interval.
        precision: the share of the images predicted as this class that are of it; None if there are none.
    """

    name: str
    num_images: int
    recall: float
    low: float
    high: float
    precision: float | None


@dataclass(frozen=True)
class Mixup:
    """The images of one class that were taken for another: their number, and their share of the class."""

    label: str
    prediction: str
    count: int
    share: float


@dataclass(frozen=True)
class Comparison:
    """The comparison of two networks on the same test images, by the exact McNemar test.

    Attributes:
        a, b: the names of their cells.
        only_a, only_b: the numbers of images that only one of the two networks got right.
        num_images: the number of test images.
        p, p_holm: the two-sided p-value, also corrected for all comparisons of the report.
    """

    a: str
    b: str
    only_a: int
    only_b: int
    num_images: int
    p: float
    p_holm: float

    @property
    def certain(self) -> bool:
        """Whether the two networks can be told apart."""
        return self.p_holm < CERTAIN


def worst_classes(confusion: Confusion) -> list[ClassResult]:
    """Return the `MAX_CLASSES` classes with the lowest recall below 1, the worst first."""
    right, images, taken = confusion.counts.diagonal(), confusion.counts.sum(1), confusion.counts.sum(0)
    recall = right / np.maximum(images, 1)
    order = [int(k) for k in np.argsort(recall, kind="stable") if images[k] and right[k] < images[k]]
    return [
        ClassResult(
            confusion.class_names[k],
            int(images[k]),
            float(recall[k]),
            *wilson(int(right[k]), int(images[k])),
            float(right[k] / taken[k]) if taken[k] else None,
        )
        for k in order[:MAX_CLASSES]
    ]


def mixups(confusion: Confusion) -> list[Mixup]:
    """Return the `MAX_CONFUSIONS` most frequent mistakes, the most frequent first."""
    wrong = confusion.counts.copy()
    np.fill_diagonal(wrong, 0)
    found = []
    places = np.flatnonzero(wrong)  # with thousands of classes, only few pairs occur
    for place in places[np.argsort(-wrong.ravel()[places], kind="stable")][:MAX_CONFUSIONS]:
        row, column = (int(i) for i in np.unravel_index(place, wrong.shape))
        count = int(wrong[row, column])
        share = count / int(confusion.counts[row].sum())
        found.append(Mixup(confusion.class_names[row], confusion.class_names[column], count, share))
    return found


def best_of(cells: Sequence[Record]) -> Record:
    """Return the cell with the highest validation accuracy; of several, the one with the lowest validation loss."""
    return max(cells, key=lambda cell: (cell.metrics[CHOSEN_BY], -cell.metrics["best/val_loss"]))


def mcnemar_comparisons(configurations: Sequence[Sequence[Record]], artifacts: Artifacts) -> list[Comparison]:
    """Compare the best networks of the first configurations pairwise if they were tested on the same images.

    Args:
        configurations: the finished cells of each configuration, in the order of preference.
        artifacts: the files of the runs, with the predictions.
    """
    if not configurations:
        return []
    images = _images(best_of(configurations[0]))
    chosen: list[tuple[Record, Predictions]] = []
    for cells in configurations[:MAX_COMPARED]:
        same = [cell for cell in cells if _images(cell) == images]
        predictions = artifacts.predictions(str((cell := best_of(same)).run_id)) if same else None
        if predictions is not None and (not chosen or _alike(predictions, chosen[0][1])):
            chosen.append((cell, predictions))
    pairs = list(itertools.combinations(chosen, 2))
    found = [mcnemar(a.label == a.prediction, b.label == b.prediction) for (_, a), (_, b) in pairs]
    corrected = holm([p for *_, p in found])
    return [
        Comparison(a.name, b.name, only_a, only_b, len(predictions.label), p, p_holm)
        for ((a, predictions), (b, _)), (only_a, only_b, p), p_holm in zip(pairs, found, corrected, strict=True)
        if p_holm is not None
    ]


def _images(cell: Record) -> tuple[str, ...]:
    """Return a key that is equal for cells that were tested on the same images."""
    return cell.fingerprint, *(cell.params.get(key, "") for key in SPLIT_KEYS)


def _alike(a: Predictions, b: Predictions) -> bool:
    return np.array_equal(a.index, b.index) and np.array_equal(a.label, b.label)
