"""What one epoch measured."""

from dataclasses import dataclass


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
