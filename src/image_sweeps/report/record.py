"""What is known of the cells that a report is about."""

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
    """There is nothing to write a report about; the message says what was looked for, and where."""


@dataclass(frozen=True)
class Record:
    """A cell, and what its run holds.

    Attributes:
        id: the cell's.
        name: what varies in it, as in `model=cnn_batch seed=1`.
        levels: its value of everything that varies, replicates included: `{"model": "cnn_batch", "seed": "1"}`.
        status: how far it came.
        reason: why it did not finish, where that is known.
        run_id: MLflow's, where it has a run.
        command: what runs it again.
        choices: of the groups, as in `{"model": "cnn_batch"}`.
        fingerprint: of the data set's content.
        params, metrics: of its run; empty where it has none.
        num_images: of the splits, by their names.
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
        """Whether it has been tested."""
        return self.status is CellStatus.FINISHED


@dataclass(frozen=True)
class Subject:
    """What a report is about: a sweep, or the runs of an experiment that a filter lets through.

    Attributes:
        title: in words.
        sweep: its id, or None.
        experiment: the name of the experiment in MLflow.
        filter: MLflow's filter, or None.
        command: what ran the sweep, or None.
        created: when the sweep was planned first, in ISO 8601, or None.
        factors: the values of everything that varies, in the order in which they are to be shown.
        cells: all that are compared, whatever became of them.
        search: of which they are, if any.
        trials: the other cells of that search.
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
    """A run's epochs, E of them: their numbers, and what was measured in each."""

    epoch: NDArray[np.int64]
    train_loss: NDArray[np.float64]
    val_accuracy: NDArray[np.float64]
    epoch_s: NDArray[np.float64]


@dataclass(frozen=True)
class Confusion:
    """Counts of test images, K x K, row: label, column: prediction."""

    class_names: Sequence[str]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Predictions:
    """Of the test images, N: which image it is, its class, and what it was taken for."""

    index: NDArray[np.int32]
    label: NDArray[np.int32]
    prediction: NDArray[np.int32]


class Artifacts(Protocol):
    """The files of runs. None stands for a file that is not there."""

    def histories(self, run_ids: Sequence[str]) -> Mapping[str, History]:
        """Those that are there."""

    def confusion(self, run_id: str) -> Confusion | None:
        """Of the test split."""

    def predictions(self, run_id: str) -> Predictions | None:
        """Of the test split."""
