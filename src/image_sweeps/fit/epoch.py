"""What one epoch measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

METRICS = {
    "train_loss": "train/loss",
    "train_accuracy": "train/accuracy",
    "val_loss": "val/loss",
    "val_accuracy": "val/accuracy",
    "lr": "lr",
    "epoch_s": "time/epoch_s",
}
"""The names by which the attributes of an epoch are recorded."""

PENALTY = "train/penalty"
"""The name of the penalty, which is recorded where there is one."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch measured. Losses are means over images, accuracies fractions in [0, 1].

    Attributes:
        number: counted from 1.
        train_loss, train_accuracy: of each batch as it was met, before its own step; with label smoothing, where it is
            chosen, and without the penalty.
        penalty: what l2 adds to the loss, a mean over the steps.
        val_loss, val_accuracy: after the epoch, without label smoothing.
        lr: the learning rate of the epoch's first step.
        epoch_s: seconds of training and validation together.
        ended_ms: when it ended, in milliseconds since 1970. Whoever records it takes this as its time, so that an epoch
            recorded twice, before and after an interruption, is one and the same record.
    """

    number: int
    train_loss: float
    train_accuracy: float
    penalty: float
    val_loss: float
    val_accuracy: float
    lr: float
    epoch_s: float
    ended_ms: int

    def metrics(self) -> dict[str, float]:
        """The measurements by the names of their metrics, without the penalty."""
        return {metric: getattr(self, name) for name, metric in METRICS.items()}

    @classmethod
    def from_metrics(cls, number: int, ended_ms: int, metrics: Mapping[str, float]) -> Self:
        """The epoch whose `metrics` were recorded at the step `number`."""
        values = {name: metrics[metric] for name, metric in METRICS.items()}
        return cls(number=number, penalty=metrics.get(PENALTY, 0.0), ended_ms=ended_ms, **values)
