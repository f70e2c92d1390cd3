import numpy as np
import pytest
import torch

from src.fit.evaluate import evaluate
from src.fit.loop import Epoch
from src.tracking import figures


def test_the_curves_show_training_cost_and_validation_accuracy_with_both_axes_labelled():
    history = [Epoch(n, 1.0 / n, 0.5, 0.9, 0.7 + n / 100, 0.1, 1.0) for n in (1, 2, 3)]
    figure = figures.curves(history, "model=cnn")
    cost, accuracy = figure.axes
    assert (cost.get_xlabel(), cost.get_ylabel()[:13], accuracy.get_ylabel()) == (
        "epoch",
        "training cost",
        "validation accuracy",
    )
    np.testing.assert_allclose(cost.lines[0].get_xydata(), [(n, 1.0 / n) for n in (1, 2, 3)])
    np.testing.assert_allclose(accuracy.lines[0].get_xydata(), [(n, 0.7 + n / 100) for n in (1, 2, 3)])


@pytest.mark.parametrize("num_epochs", [1, 100])
def test_epochs_are_marked_by_whole_numbers(num_epochs):
    figure = figures.curves([Epoch(n + 1, 1, 0, 1, 0, 0.1, 1) for n in range(num_epochs)], "n")
    figure.canvas.draw()
    assert all(tick == round(tick) for tick in figure.axes[0].get_xticks())


@pytest.mark.parametrize("num_classes", [2, 10, 60])
def test_the_confusion_matrix_shows_shares_of_the_label_with_the_counts_written_in(num_classes):
    labels = torch.arange(num_classes).repeat(3)
    logits = torch.eye(num_classes)[labels]
    logits[0] = torch.eye(num_classes)[1]
    figure = figures.confusion(evaluate(logits, labels), [f"class {k}" for k in range(num_classes)])
    axes = figure.axes[0]
    assert axes.images[0].get_array()[0, 1] == pytest.approx(1 / 3)
    written = {text.get_text() for text in axes.texts}
    assert written == (set() if num_classes > 40 else {"1", "2", "3"})
    assert axes.get_xticklabels()[0].get_text() == "class 0"
