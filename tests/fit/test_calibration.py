import numpy as np
import pytest

from image_sweeps.fit.calibration import NUM_BINS, calibration, wilson


def test_the_numbers_of_a_worked_example():
    """Two images at 0.9, one of them right, and two at 0.6, both right: 2/4 * 0.4 + 2/4 * 0.4."""
    table = calibration(np.array([0.9, 0.6, 0.9, 0.6]), np.array([True, True, False, True]))
    assert table.ece == pytest.approx(0.4)
    used = np.flatnonzero(table.count)
    assert used.tolist() == [8, 13]  # (8/15, 9/15] and (13/15, 14/15]
    assert table.count[used].tolist() == [2, 2]
    np.testing.assert_allclose(table.confidence[used], [0.6, 0.9])
    assert table.accuracy[used].tolist() == [1, 0.5]
    assert (table.accuracy_low[8], table.accuracy_high[8]) == wilson(2, 2)


def test_a_bin_without_images_has_no_means():
    table = calibration(np.array([0.9]), np.array([True]))
    assert np.isnan(table.accuracy).sum() == np.isnan(table.confidence).sum() == NUM_BINS - 1
    assert np.isnan(table.accuracy_low).sum() == np.isnan(table.accuracy_high).sum() == NUM_BINS - 1


def test_a_confidence_of_one_falls_into_the_last_bin():
    assert calibration(np.ones(3), np.ones(3, bool)).count.tolist() == [0] * (NUM_BINS - 1) + [3]


def test_the_error_is_guos_sum_over_bins():
    """Guo et al., 2017, equation 3, as a loop."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.1, 1, 1000)
    right = rng.random(1000) < confidence**2
    expected = 0.0
    for m in range(1, 16):
        inside = (confidence > (m - 1) / 15) & (confidence <= m / 15)
        if inside.any():
            expected += inside.sum() / 1000 * abs(right[inside].mean() - confidence[inside].mean())
    assert calibration(confidence, right).ece == pytest.approx(expected)


def test_who_is_right_as_often_as_they_say_has_no_error():
    assert calibration(np.full(10, 0.7), np.arange(10) < 7).ece == pytest.approx(0)


def test_wilsons_interval_is_his_formula():
    n, p, z = 50, 0.84, 1.959963984540054
    centre, spread = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert wilson(42, 50) == pytest.approx(tuple((centre + s * spread) / (1 + z**2 / n) for s in (-1, 1)))
