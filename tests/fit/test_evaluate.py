import numpy as np
import pytest
import torch

from image_sweeps.fit.evaluate import NonFiniteOutputError, evaluate

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


def test_the_areas_of_the_worked_example():
    """Of class 0, the scores in order are 0.8 (no), 0.7, 0.6, 0.4 (yes), 0.3, 0.2 (no): 6 of 9 pairs are right."""
    result = evaluate(LOGITS, LABELS)
    np.testing.assert_allclose(result.roc_auc[:2], [6 / 9, 4 / 8])
    np.testing.assert_allclose(result.average_precision[0], (1 / 2 + 2 / 3 + 3 / 4) / 3)
    assert result.metrics()["test/roc_auc"] == pytest.approx(result.roc_auc.mean())
    assert result.metrics()["test/average_precision"] == pytest.approx(result.average_precision.mean())


def test_calibration_is_of_the_predicted_class():
    """0.9 sure and right, 0.8 sure and wrong."""
    logits = torch.log(torch.tensor([[0.9, 0.1], [0.8, 0.2]]))
    assert evaluate(logits, torch.tensor([0, 1])).metrics()["test/ece"] == pytest.approx((0.1 + 0.8) / 2)


def test_sure_predictions_are_still_ranked():
    """All three are 1 in float32, where they would be a tie."""
    logits = torch.tensor([[30.0, 0.0], [29.0, 0.0], [28.0, 0.0], [0.0, 1.0]])
    assert evaluate(logits, torch.tensor([0, 0, 1, 1])).roc_auc.tolist() == [1, 1]


def test_a_class_without_images_has_no_areas_and_spoils_no_mean():
    result = evaluate(torch.eye(3)[[0, 1]] * 3, torch.tensor([0, 1]))
    assert np.isnan(result.roc_auc).tolist() == np.isnan(result.average_precision).tolist() == [False, False, True]
    assert result.metrics()["test/roc_auc"] == result.metrics()["test/average_precision"] == 1


def test_mistakes_come_with_the_most_confident_first():
    result = evaluate(LOGITS, LABELS)
    assert result.mistakes.tolist() == [4, 5, 1]
    np.testing.assert_allclose(result.confidence[result.mistakes], [0.8, 0.6, 0.5], rtol=1e-6)
    assert evaluate(torch.eye(3), torch.arange(3)).mistakes.tolist() == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_outputs_that_are_not_finite_are_refused_with_their_number(bad):
    logits = LOGITS.clone()
    logits[2, 1] = logits[4] = bad
    message = r"outputs for 2 of 6 images are not finite, .* Try a smaller optimizer\.lr"
    with pytest.raises(NonFiniteOutputError, match=message):
        evaluate(logits, LABELS)
