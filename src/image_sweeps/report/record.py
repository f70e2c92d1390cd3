"""The data about cells that a report is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from image_sweeps.cell.search_record import SearchRecord
from image_sweeps.cell.status import CellStatus

MEASURE = "test/accuracy"
CHOSEN_BY = "best/val_accuracy"


class ReportError(ValueError):
    """The error that there is nothing to report on; the message says what was looked for, and where."""


@dataclass(frozen=True)
class Record:
    """A cell, with the content of its run.

    Attributes:
        id: the id of the cell.
        name: the settings that vary, as in `model=cnn_batch seed=1`.
        levels: its value for each key that varies, replicates included: `{"model": "cnn_batch", "seed": "1"}`.
        status: the status of the cell.
        reason: why the cell did not finish, if that is known.
        run_id: the id of its run in MLflow, if it has one.
        command: the command that runs the cell again.
        choices: the choices of the groups, as in `{"model": "cnn_batch"}`.
        fingerprint: the fingerprint of the content of the data set.
        params, metrics: the parameters and metrics of its run; empty if it has none.
        num_images: the number of images in each split, by the name of the split.
    """

    id: str
    name: str
    levels: Mapping[str, str]
    status: CellStatus
    reason: str | None
    run_id: str | None
    command: str
    choices: Mapping[str, str]
    fingerprint: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    num_images: Mapping[str, int]

    @property
    def finished(self) -> bool:
        """Whether the cell has been trained and tested."""
        return self.status is CellStatus.FINISHED


@dataclass(frozen=True)
class Subject:
    """The subject of a report: a sweep, or the runs of an experiment that match a filter.

    Attributes:
        title: the settings that are compared, in words.
        sweep: the id of the sweep, or None.
        experiment: the name of the experiment in MLflow.
        filter: MLflow's filter, or None.
        command: the command line of the sweep, or None.
        created: when the sweep was planned first, in ISO 8601, or None.
        factors: the values of each key that varies, in the order in which they are shown.
        cells: all cells that are compared, whatever their status.
        search: the search that the cells belong to, or None.
        trials: the cells of the trials of that search, which may be among `cells`.
    """

    title: str
    sweep: str | None
    experiment: str
    filter: str | None
    command: str | None
    created: str | None
    factors: Mapping[str, Sequence[str]]
    cells: Sequence[Record]
    search: SearchRecord | None = None
    trials: Sequence[Record] = ()


@dataclass(frozen=True)
class History:
    """The E epochs of a run: number, training loss, validation accuracy as a fraction, and duration in seconds."""

    epoch: NDArray[np.int64]
    train_loss: NDArray[np.float64]
    val_accuracy: NDArray[np.float64]
    epoch_s: NDArray[np.float64]


@dataclass(frozen=True)
class Confusion:
    """The names of K classes, and counts of test images, K x K, row: label, column: prediction."""

    class_names: Sequence[str]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Predictions:
    """The predictions for N test images: index of the image, class, and predicted class."""

    index: NDArray[np.int32]
    label: NDArray[np.int32]
    prediction: NDArray[np.int32]


class Artifacts(Protocol):
    """The files of runs; None stands for a missing file."""

    def histories(self, run_ids: Sequence[str]) -> Mapping[str, History]:
        """Return the histories that exist, by run id."""

    def confusion(self, run_id: str) -> Confusion | None:
        """Return the confusion matrix of the test split."""

    def predictions(self, run_id: str) -> Predictions | None:
        """Return the predictions for the test split."""
