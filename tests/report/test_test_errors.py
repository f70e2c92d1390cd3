import numpy as np
import pytest

from image_sweeps.fit.calibration import wilson
from image_sweeps.report.record import Confusion, Predictions
from image_sweeps.report.test_errors import MAX_COMPARED, best_of, mcnemar_comparisons, mixups, worst_classes
from tests.support.report_records import record

NAMES = ("ant", "bee", "cat", "dog")
COUNTS = np.array([[10, 0, 0, 0], [1, 6, 3, 0], [0, 5, 5, 0], [0, 0, 0, 0]])


def test_the_worst_classes_are_those_recognised_least():
    """A class that was recognised whole is none of them, nor is one without images."""
    cat, bee = worst_classes(Confusion(NAMES, COUNTS))
    assert (cat.name, cat.num_images, cat.recall, cat.precision) == ("cat", 10, 0.5, 5 / 8)
    assert (cat.low, cat.high) == wilson(5, 10)
    assert (bee.name, bee.recall, bee.precision) == ("bee", 0.6, 6 / 11)


def test_a_class_that_was_never_predicted_has_no_precision():
    (worst, _) = worst_classes(Confusion(("ant", "bee", "cat"), np.array([[0, 2, 0], [0, 3, 1], [0, 0, 1]])))
    assert (worst.name, worst.recall, worst.precision) == ("ant", 0, None)


def test_mixups_are_told_the_most_frequent_first():
    found = [(m.label, m.prediction, m.count, m.share) for m in mixups(Confusion(NAMES, COUNTS))]
    assert found == [("cat", "bee", 5, 0.5), ("bee", "cat", 3, 0.3), ("bee", "ant", 1, 0.1)]


def cell(name, accuracy, **params):
    made = record({"model": name}, accuracy)
    metrics = {"best/val_accuracy": accuracy, "best/val_loss": 1 - accuracy}
    return type(made)(**{**vars(made), "run_id": name, "metrics": metrics, "params": params})


class Kept:
    """Predictions of networks, each right on its first so many of 100 images."""

    def __init__(self, **num_right):
        self.num_right = num_right

    def predictions(self, run_id):
        if run_id not in self.num_right:
            return None
        index = np.arange(100)
        label = index % 3
        return Predictions(index, label, np.where(index < self.num_right[run_id], label, 3))


def test_the_best_cell_is_chosen_by_validation_accuracy_then_loss():
    cells = [cell("a", 0.7), cell("b", 0.9), cell("c", 0.9)]
    cells[2].metrics["best/val_loss"] = 0.01
    assert best_of(cells).name == "model=c"


def test_networks_are_compared_pair_by_pair_with_holms_correction():
    found = mcnemar_comparisons(
        [[cell("a", 0.9), cell("x", 0.1)], [cell("b", 0.8)], [cell("c", 0.7)]], Kept(a=90, b=80, c=79, x=1)
    )
    assert [(c.a, c.b, c.only_a, c.only_b) for c in found] == [
        ("model=a", "model=b", 10, 0),
        ("model=a", "model=c", 11, 0),
        ("model=b", "model=c", 1, 0),
    ]
    assert [c.p for c in found] == pytest.approx([2 / 2**10, 2 / 2**11, 1.0])
    assert [c.p_holm for c in found] == pytest.approx([2 * 2 / 2**10, 3 * 2 / 2**11, 1.0])
    assert [c.certain for c in found] == [True, True, False]
    assert {c.num_images for c in found} == {100}


def test_networks_that_saw_other_images_are_not_compared():
    """Equal labels are not enough: folds of a set in order of its classes have the same."""
    kept = Kept(a=90, b=80)
    assert (
        mcnemar_comparisons(
            [[cell("a", 0.9, **{"dataset.fold": "0"})], [cell("b", 0.8, **{"dataset.fold": "1"})]], kept
        )
        == []
    )
    same_fold = [cell("b", 0.8, **{"dataset.fold": "1"}), cell("c", 0.7, **{"dataset.fold": "0"})]
    (found,) = mcnemar_comparisons([[cell("a", 0.9, **{"dataset.fold": "0"})], same_fold], Kept(a=90, b=80, c=70))
    assert (found.a, found.b) == ("model=a", "model=c")


def test_other_labels_are_not_compared():
    class Shifted(Kept):
        def predictions(self, run_id):
            found = super().predictions(run_id)
            return Predictions(found.index, found.label + (run_id == "b"), found.prediction)

    assert mcnemar_comparisons([[cell("a", 0.9)], [cell("b", 0.8)]], Shifted(a=90, b=80)) == []


def test_predictions_that_are_gone_are_passed_over():
    found = mcnemar_comparisons([[cell("a", 0.9)], [cell("b", 0.8)], [cell("c", 0.7)]], Kept(a=90, c=70))
    assert [(c.a, c.b) for c in found] == [("model=a", "model=c")]
    assert mcnemar_comparisons([], Kept()) == []


def test_no_more_than_a_few_networks_are_compared():
    names = "abcdefgh"
    found = mcnemar_comparisons([[cell(name, 0.9)] for name in names], Kept(**dict.fromkeys(names, 90)))
    assert len(found) == MAX_COMPARED * (MAX_COMPARED - 1) / 2
