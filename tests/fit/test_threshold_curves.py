"""Areas against their definitions, not against the library that computes them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_sweeps.fit import threshold_curves
from image_sweeps.fit.threshold_curves import MAX_POINTS, areas, macro, precision_recall, roc


@st.composite
def labelled_scores(draw):
    num_images, num_classes = draw(st.integers(2, 30)), draw(st.integers(2, 4))
    labels = draw(st.lists(st.integers(0, num_classes - 1), min_size=num_images, max_size=num_images))
    few = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])  # so that ties are common
    scores = draw(st.lists(few, min_size=num_images * num_classes, max_size=num_images * num_classes))
    return np.array(labels), np.array(scores).reshape(num_images, num_classes)


@settings(deadline=None)
@given(labelled_scores())
def test_a_roc_area_is_the_probability_that_an_image_of_the_class_outranks_another(case):
    labels, scores = case
    for k, area in enumerate(areas(roc(labels, scores))):
        own, others = scores[labels == k, k], scores[labels != k, k]
        wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in own for b in others]
        assert area == pytest.approx(np.mean(wins) if wins else float("nan"), nan_ok=True)


@settings(deadline=None)
@given(labelled_scores())
def test_an_average_precision_is_the_mean_of_precision_at_each_image_of_the_class(case):
    """At each of them the threshold is its own score, so that all tied images are in."""
    labels, scores = case
    for k, area in enumerate(areas(precision_recall(labels, scores))):
        own = scores[labels == k, k]
        precisions = [np.mean(labels[scores[:, k] >= score] == k) for score in own]
        defined = 0 < len(own) < len(labels)
        assert area == pytest.approx(np.mean(precisions) if defined else float("nan"), nan_ok=True)


def test_the_curves_of_a_worked_example():
    """Ranked by the score of class 0: right, wrong, right, wrong."""
    scores = np.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    labels = np.array([0, 1, 0, 1])
    first = roc(labels, scores)[0]
    assert list(zip(first.x, first.y, strict=True)) == [(0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1)]
    assert first.area == 0.75
    first = precision_recall(labels, scores)[0]
    expected = [(0, 1), (0.5, 1), (0.5, 1 / 2), (1, 2 / 3), (1, 1 / 2)]
    np.testing.assert_allclose(np.column_stack([first.x, first.y]), expected)
    assert first.area == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("curves", [roc, precision_recall])
def test_a_class_without_images_or_without_others_has_no_curve_and_counts_in_no_mean(curves):
    scores = np.array([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.6, 0.3, 0.1]])
    absent = curves(np.array([0, 1, 0]), scores)
    assert len(absent[2].x) == len(absent[2].y) == 0
    assert np.isnan(areas(absent)).tolist() == [False, False, True]
    assert macro(areas(absent)) == 1
    alone = curves(np.array([0, 0, 0]), scores)
    assert np.isnan(areas(alone)).all()
    assert np.isnan(macro(areas(alone)))


@pytest.mark.parametrize("curves", [roc, precision_recall])
def test_few_points_of_a_long_curve_are_kept_and_none_is_far_from_them(curves):
    rng = np.random.default_rng(0)
    labels = np.arange(5000) % 2
    scores = rng.normal(size=(5000, 2)) + np.eye(2)[labels]
    thinned = curves(labels, scores)[0]
    whole = _unthinned(curves, labels, scores)
    assert len(whole) > 1000
    assert len(thinned.x) <= MAX_POINTS
    kept = np.column_stack([thinned.x, thinned.y])
    assert set(map(tuple, kept)) <= set(map(tuple, whole))
    np.testing.assert_array_equal(kept[[0, -1]], whole[[0, -1]])
    distances = np.abs(whole[:, None] - kept[None]).sum(2).min(1)
    assert distances.max() < 0.03
    assert (np.diff(thinned.x) >= 0).all()


def _unthinned(curves, labels, scores):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threshold_curves, "MAX_POINTS", len(labels) * 2)
        whole = curves(labels, scores)[0]
    return np.column_stack([whole.x, whole.y])
