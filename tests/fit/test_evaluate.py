import numpy as np
import pytest
import torch

from src.fit.evaluate import evaluate

LABELS = torch.tensor([0, 0, 0, 1, 1, 2])
LOGITS = torch.log(
    torch.tensor([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.8, 0.1, 0.1], [0.3, 0.6, 0.1]])
)


def test_the_numbers_of_a_worked_example():
    result = evaluate(LOGITS, LABELS)
    assert result.confusion.tolist() == [[2, 1, 0], [1, 1, 0], [0, 1, 0]]
    assert result.accuracy == 3 / 6
    np.testing.assert_allclose(result.precision, [2 / 3, 1 / 3, 0])  # class 2 was never predicted
    np.testing.assert_allclose(result.recall, [2 / 3, 1 / 2, 0])
    np.testing.assert_allclose(result.f1, [2 / 3, 2 / 5, 0], atol=1e-12)
    assert result.support.tolist() == [3, 2, 1]
    expected_loss = -np.log([0.7, 0.4, 0.6, 0.7, 0.1, 0.1]).mean()
    assert result.loss == pytest.approx(expected_loss, rel=1e-5)
    assert result.metrics()["test/f1"] == pytest.approx((2 / 3 + 2 / 5) / 3)


def test_twenty_of_twenty_right_still_means_84_percent_or_more():
    """Wilson, 1927: for all n right the lower limit is n / (n + z^2)."""
    result = evaluate(torch.eye(2)[torch.arange(20) % 2] * 9, torch.arange(20) % 2)
    assert result.accuracy == 1
    assert result.accuracy_low == pytest.approx(20 / (20 + 1.959964**2), abs=1e-6)
    assert result.accuracy_low == pytest.approx(0.839, abs=5e-4)
    assert result.accuracy_high == 1


def test_a_class_without_images_keeps_its_place():
    result = evaluate(torch.eye(4)[[0, 1]], torch.tensor([0, 1]))
    assert result.confusion.shape == (4, 4)
    assert result.support.tolist() == [1, 1, 0, 0]


def test_probabilities_sum_to_one():
    np.testing.assert_allclose(evaluate(LOGITS * 3, LABELS).probabilities.sum(1), 1, rtol=1e-6)
