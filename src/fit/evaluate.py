"""How good a trained network is on images it has never seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Evaluation:
    """The test split's verdict.

    Attributes:
        loss: mean cross-entropy per image, in nats.
        accuracy, accuracy_low, accuracy_high: a fraction and its 95% Wilson interval (Wilson, 1927).
        precision, recall, f1: per class, K; a class that was never predicted has precision 0.
        support: images per class, K.
        confusion: counts, K x K, row: label, column: prediction.
        labels, predictions: N.
        probabilities: N x K, float32.
    """

    loss: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]
    confusion: NDArray[np.int64]
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    def metrics(self) -> dict[str, float]:
        """The numbers that runs are compared by; precision, recall and F1 are macro averages over the classes."""
        return {
            "test/loss": self.loss,
            "test/accuracy": self.accuracy,
            "test/accuracy_low": self.accuracy_low,
            "test/accuracy_high": self.accuracy_high,
            "test/precision": float(self.precision.mean()),
            "test/recall": float(self.recall.mean()),
            "test/f1": float(self.f1.mean()),
        }


def evaluate(logits_NK: Tensor, labels_N: Tensor) -> Evaluation:
    """Everything that is said of a split, from the logits of all its images."""
    logits_NK, labels_N = logits_NK.float().cpu(), labels_N.cpu()
    probabilities = logits_NK.softmax(1)
    labels, predictions = labels_N.numpy(), logits_NK.argmax(1).numpy()
    classes = np.arange(logits_NK.shape[1])
    num_correct = int((labels == predictions).sum())
    interval = binomtest(num_correct, len(labels)).proportion_ci(0.95, method="wilson")
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predictions, labels=classes, zero_division=0.0
    )
    return Evaluation(
        loss=F.cross_entropy(logits_NK, labels_N).item(),
        accuracy=num_correct / len(labels),
        accuracy_low=float(interval.low),
        accuracy_high=float(interval.high),
        precision=precision,
        recall=recall,
        f1=f1,
        support=support,
        confusion=confusion_matrix(labels, predictions, labels=classes),
        labels=labels,
        predictions=predictions,
        probabilities=probabilities.numpy(),
    )
