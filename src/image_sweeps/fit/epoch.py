"""The measurements of one epoch."""

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
"""The metric names under which the attributes of an epoch are recorded."""

PENALTY = "train/penalty"
"""The metric name of the penalty, which is recorded only if the configuration sets `l2`."""


@dataclass(frozen=True)
class Epoch:
    """The measurements of one epoch. Losses are means over images in nats, accuracies are fractions in [0, 1].

    Attributes:
        number: the number of the epoch, counted from 1.
        train_loss, train_accuracy: measured on each batch before the step that it causes; the loss includes label
            smoothing, if configured, and excludes the penalty.
        penalty: the term that `l2` adds to the loss, a mean over the steps.
        val_loss, val_accuracy: measured on the validation split after the epoch, without label smoothing.
        lr: the learning rate of the epoch's first step.
        epoch_s: seconds of training and validation together.
        ended_ms: the end of the epoch, in milliseconds since 1970. Its records carry this time, so that an epoch
            recorded twice, before and after an interruption, remains one record.
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
        """Return the measurements by metric name, without the penalty."""
        return {metric: getattr(self, name) for name, metric in METRICS.items()}

    @classmethod
    def from_metrics(cls, number: int, ended_ms: int, metrics: Mapping[str, float]) -> Self:
        """Return the epoch whose `metrics` were recorded at the step `number`."""
        values = {name: metrics[metric] for name, metric in METRICS.items()}
        return cls(number=number, penalty=metrics.get(PENALTY, 0.0), ended_ms=ended_ms, **values)
