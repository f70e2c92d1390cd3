"""The content of a report as plain data, as in `report.json` key by key. Accuracies and differences are fractions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from image_sweeps.cell.status import CellStatus
from image_sweeps.report.effects import Effect, Interaction
from image_sweeps.report.record import Confusion
from image_sweeps.report.search import SearchSummary
from image_sweeps.report.statistics import Estimate
from image_sweeps.report.test_errors import ClassResult, Comparison, Mixup

FORMAT = 1

MAX_COUNTED = 200
"""The number of classes above which report.json omits the counts of the confusion matrix: they would dominate it."""

MAX_CLASSES = 25
"""The number of classes above which the confusion matrix is a chart instead of a table."""


@dataclass(frozen=True)
class Question:
    """The question of a report.

    Attributes:
        factors: the settings that are compared, with their values; other values are compared with the first one.
        follows: the other settings that differ, each with the factor that it follows from and cannot be separated from.
        replicates: the keys in which cells of a configuration differ (`seed`, `dataset.fold`, ...), with their values.
        shared: settings that are the same in all cells.
        num_images: the number of images in each split.
    """

    factors: Mapping[str, Sequence[str]]
    follows: Mapping[str, str]
    replicates: Mapping[str, Sequence[str]]
    shared: Mapping[str, str]
    num_images: Mapping[str, int]


@dataclass(frozen=True)
class Configuration:
    """The summary of cells that differ only in their replicate. Means are over the finished cells.

    Attributes:
        name: the configuration as one would type it.
        levels: its values of the factors, and of the settings that follow from them.
        num_cells, num_finished: the number of its cells, and of the finished ones.
        test_accuracy, val_accuracy: means over replicates.
        seconds: the mean time of training and validation per cell, or None if it is not known.
        num_parameters: the number of parameters of the network, or None if its cells differ.
        chosen: whether it has the highest validation accuracy.
        difference: its test accuracy minus the accuracy of the chosen configuration, paired by replicate; None for the
            chosen configuration, and if no replicate has both.
        p_holm: the p-value of that difference, corrected for all configurations.
        tied: whether it cannot be told apart from the chosen configuration; None if that was not tested.
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
    """The cell with the highest validation accuracy in the chosen configuration.

    Attributes:
        cell, name, run_id: the id and the name of the cell, and the id of its run.
        val_accuracy, test_accuracy: its accuracies.
        test_accuracy_low, test_accuracy_high: the 95% Wilson interval, for other test images.
        confusion: counts of test images, row: label, column: prediction; None if the file is missing. In report.json,
            the counts are null if there are more than MAX_COUNTED classes; confusion.csv has them.
        worst_classes, mixups: the classes and the pairs of classes with the most errors.
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
        status: the status of the cell.
        reason: why the cell did not finish.
        command: the command that runs the cell again by itself.
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
        format: the version of this data format; it changes if a key changes its meaning.
        title: the settings that are compared, in words.
        written: the time of writing, in ISO 8601.
        sweep, created, command: the id of the sweep, the time of its plan, and its command line; None for other runs.
        experiment, filter: the name of the experiment in MLflow, and MLflow's filter of its runs or None.
        measure: the metric that is compared.
        chosen_by: the metric by which the best configuration and its best cell are chosen.
        confidence: the confidence level of all intervals.
        certain: the level below which a corrected p-value is called certain.
        overlap: test images per training image if replicates are splits, else 0.
        counts: the number of cells by status.
        question: the question of the report.
        answer: the answer in sentences.
        configurations: the configurations with a finished cell, the highest test accuracy first.
        effects, interactions: the effects and interactions of the factors.
        best: the best cell, or None if no cell has finished.
        comparisons: comparisons of the best networks on the same test images.
        cells: all cells.
        more_seeds: the command that adds seeds if there are few, else None.
        to_finish: the command that resumes the sweep if cells are missing, else None.
        search: the summary of the search; None for a grid.
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
