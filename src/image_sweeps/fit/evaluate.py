"""The evaluation of a trained network on images that it has never seen."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from torch import Tensor
from torch.nn import functional as F

from image_sweeps.fit import threshold_curves
from image_sweeps.fit.calibration import Calibration, calibration, wilson
from image_sweeps.fit.threshold_curves import Curve


class NonFiniteOutputError(ArithmeticError):
    """The outputs of the network are infinite or NaN, so that it cannot be evaluated."""

    def __init__(self, num_bad: int, num_images: int) -> None:
        super().__init__(
            f"the network's outputs for {num_bad} of {num_images} images are not finite, although its training loss "
            "was: its weights grow without bound. Try a smaller optimizer.lr."
        )


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of a network on the N images and K classes of a split.

    Attributes:
        loss: mean cross-entropy per image, in nats.
        accuracy, accuracy_low, accuracy_high: share of correct predictions and its 95% Wilson interval (Wilson, 1927).
        precision, recall, f1: per class, K; a class that was never predicted has precision 0.
        support: images per class, K.
        confusion: counts, K x K, row: label, column: prediction.
        labels, predictions: indices of classes, N.
        probabilities: probability of each class for each image, N x K, float32.
        roc, precision_recall: one curve per class, against the rest, K.
        calibration: the agreement of confidence and accuracy.
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
    roc: tuple[Curve, ...]
    precision_recall: tuple[Curve, ...]
    calibration: Calibration

    @property
    def roc_auc(self) -> NDArray[np.float64]:
        """The area under the ROC curve per class, K; NaN if no image belongs to the class, or all images do."""
        return threshold_curves.areas(self.roc)

    @property
    def average_precision(self) -> NDArray[np.float64]:
        """The area under the precision-recall curve per class, K; NaN as for `roc_auc`."""
        return threshold_curves.areas(self.precision_recall)

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """The probability of the predicted class, N, float32."""
        return self.probabilities[np.arange(len(self.predictions)), self.predictions]

    @cached_property
    def mistakes(self) -> NDArray[np.intp]:
        """The positions of the wrongly classified images, the most confident mistake first."""
        wrong = np.flatnonzero(self.predictions != self.labels)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]

    def metrics(self) -> dict[str, float]:
        """Return the metrics that runs are compared by.

        Precision, recall and F1 are macro averages over all classes, the areas over the classes that have a curve.
        """
        return {
            "test/loss": self.loss,
            "test/accuracy": self.accuracy,
            "test/accuracy_low": self.accuracy_low,
            "test/accuracy_high": self.accuracy_high,
            "test/precision": float(self.precision.mean()),
            "test/recall": float(self.recall.mean()),
            "test/f1": float(self.f1.mean()),
            "test/roc_auc": threshold_curves.macro(self.roc_auc),
            "test/average_precision": threshold_curves.macro(self.average_precision),
            "test/ece": self.calibration.ece,
        }


def evaluate(logits_NK: Tensor, labels_N: Tensor) -> Evaluation:
    """Evaluate a split by the logits, N x K, and the labels, N, of all its images.

    Raises:
        NonFiniteOutputError: if a logit is infinite or NaN.
    """
    logits_NK, labels_N = logits_NK.float().cpu(), labels_N.cpu()
    finite = logits_NK.isfinite().all(1)
    if not finite.all():
        raise NonFiniteOutputError(int((~finite).sum()), len(finite))
    # float32 would round the probabilities of confident predictions to 1, which would create ties in the rankings
    probabilities = logits_NK.double().softmax(1).numpy()
    labels, predictions = labels_N.numpy(), logits_NK.argmax(1).numpy()
    classes = np.arange(logits_NK.shape[1])
    right = labels == predictions
    low, high = wilson(int(right.sum()), len(labels))
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predictions, labels=classes, zero_division=0.0
    )
    return Evaluation(
        loss=F.cross_entropy(logits_NK, labels_N).item(),
        accuracy=float(right.mean()),
        accuracy_low=low,
        accuracy_high=high,
        precision=precision,
        recall=recall,
        f1=f1,
        support=support,
        confusion=confusion_matrix(labels, predictions, labels=classes),
        labels=labels,
        predictions=predictions,
        probabilities=probabilities.astype(np.float32),
        roc=threshold_curves.roc(labels, probabilities),
        precision_recall=threshold_curves.precision_recall(labels, probabilities),
        calibration=calibration(probabilities.max(1), right),
    )
