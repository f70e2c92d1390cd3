"""What a report says, as plain data; `report.json` is this, key by key. Accuracies and differences are fractions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from image_sweeps.cell.status import CellStatus
from image_sweeps.report.effects import Effect, Interaction
from image_sweeps.report.images import ClassResult, Comparison, Mixup
from image_sweeps.report.record import Confusion
from image_sweeps.report.search import SearchSummary
from image_sweeps.report.statistics import Estimate

FORMAT = 1

MAX_COUNTED = 200
"""Of more classes, report.json leaves out the counts of the confusion matrix, which would be most of it."""

MAX_CLASSES = 25
"""Of more, the confusion matrix is drawn instead of written."""


@dataclass(frozen=True)
class Question:
    """What was asked.

    Attributes:
        factors: the settings that are compared, with their values; the first is what others are compared with.
        follows: what else differs, by the factor that it follows from, so that nothing can tell the two apart.
        replicates: what cells of one configuration differ in (`seed`, `dataset.fold`, ...), with its values.
        shared: settings that all cells have.
        num_images: of the splits.
    """

    factors: Mapping[str, Sequence[str]]
    follows: Mapping[str, str]
    replicates: Mapping[str, Sequence[str]]
    shared: Mapping[str, str]
    num_images: Mapping[str, int]


@dataclass(frozen=True)
class Configuration:
    """Cells that differ in their replicate only, summed up. Means are over those that have finished.

    Attributes:
        name: as one would type it.
        levels: its values of the factors, and of what follows from them.
        num_cells, num_finished: how many there are.
        test_accuracy, val_accuracy: means over replicates.
        seconds: of training and validation, the mean of its cells.
        num_parameters: of the network; None where its cells differ.
        chosen: whether it has the highest validation accuracy.
        difference: of its test accuracy from the chosen one's, by replicate; None where no replicate has both.
        p_holm: of that difference, corrected for all configurations.
        tied: whether it cannot be told apart from the chosen one; None where that was not tested.
    """

    name: str
    levels: Mapping[str, str]
    num_cells: int
    num_finished: int
    test_accuracy: Estimate
    val_accuracy: Estimate
    seconds: float | None
    num_parameters: int | None
    chosen: bool
    difference: Estimate | None
    p_holm: float | None
    tied: bool | None


@dataclass(frozen=True)
class Best:
    """The cell with the highest validation accuracy, of the configuration chosen.

    Attributes:
        cell, name, run_id: which one.
        val_accuracy, test_accuracy: its own.
        test_accuracy_low, test_accuracy_high: the 95% Wilson interval, of other test images.
        confusion: counts of test images, row: label, column: prediction; None where the file is not there. In
            report.json, the counts are null where there are more than MAX_COUNTED classes; confusion.csv has them.
        worst_classes, mixups: where it errs.
    """

    cell: str
    name: str
    run_id: str
    val_accuracy: float
    test_accuracy: float
    test_accuracy_low: float
    test_accuracy_high: float
    confusion: Confusion | None
    worst_classes: Sequence[ClassResult]
    mixups: Sequence[Mixup]


@dataclass(frozen=True)
class CellRow:
    """One cell, as in `cells.csv`.

    Attributes:
        status: what has become of it.
        reason: why it did not finish.
        command: what runs it again by itself.
    """

    id: str
    name: str
    levels: Mapping[str, str]
    status: CellStatus
    reason: str | None
    run_id: str | None
    best_epoch: int | None
    val_accuracy: float | None
    val_loss: float | None
    test_accuracy: float | None
    test_accuracy_low: float | None
    test_accuracy_high: float | None
    num_parameters: int | None
    seconds: float | None
    command: str


@dataclass(frozen=True)
class Summary:
    """The whole report.

    Attributes:
        format: of this data; it changes where a key changes its meaning.
        title: in words.
        written: when, in ISO 8601.
        sweep, created, command: the sweep's id, when it was planned, and what ran it; None for other runs.
        experiment, filter: where the runs are in MLflow, and which of them.
        measure: what is compared.
        chosen_by: what the best configuration and its best cell are chosen by.
        confidence: of all intervals.
        certain: corrected p-values below this are called certain.
        overlap: test images per training image where replicates are splits, else 0.
        counts: cells by status.
        question: what was asked.
        answer: in sentences.
        configurations: sorted by test accuracy, the highest first; those without a finished cell are left out.
        effects, interactions: of the factors.
        best: None where no cell has finished.
        comparisons: of the best networks on the same test images.
        cells: all of them.
        more_seeds: the command that adds seeds, where there are few; else None.
        to_finish: the command that goes on with what is missing; None where nothing is.
        search: that the cells are of; None where they are of a grid.
    """

    format: int
    title: str
    written: str
    sweep: str | None
    created: str | None
    command: str | None
    experiment: str
    filter: str | None
    measure: str
    chosen_by: str
    confidence: float
    certain: float
    overlap: float
    counts: Mapping[str, int]
    question: Question
    answer: Sequence[str]
    configurations: Sequence[Configuration]
    effects: Sequence[Effect]
    interactions: Sequence[Interaction]
    best: Best | None
    comparisons: Sequence[Comparison]
    cells: Sequence[CellRow]
    more_seeds: str | None
    to_finish: str | None
    search: SearchSummary | None
