import numpy as np
import pytest
from scipy import stats

from image_sweeps.report.statistics import estimate, holm, interval_factor, mcnemar

# Student (1908), from Cushny and Peebles: hours of sleep gained by ten patients with either drug; R ships it as `sleep`
FIRST = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
SECOND = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])

MISSING = np.nan


def test_students_own_example():
    """T = -4.0621, df = 9, p = 0.002833, interval -2.4598858 to -0.7001142."""
    found = estimate((FIRST - SECOND)[None])
    assert found.mean == pytest.approx(-1.58)
    assert (found.low, found.high) == pytest.approx((-2.4598858, -0.7001142))
    assert found.p == pytest.approx(0.002833, abs=1e-6)
    assert (found.df, found.num_replicates, found.num_combinations) == (9, 10, 1)


def test_several_combinations_are_the_t_test_of_their_mean_per_replicate():
    values = np.random.default_rng(0).normal(0.1, 1, (4, 6))
    expected = stats.ttest_1samp(values.mean(0), 0)
    found = estimate(values)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.num_combinations == 4


def test_what_all_replicates_of_a_combination_share_is_no_error():
    values = np.random.default_rng(0).normal(size=(3, 5))
    shifted = estimate(values + np.array([[-7.0], [0.0], [7.0]]))
    assert (shifted.mean, shifted.low, shifted.p) == pytest.approx(
        (estimate(values).mean, estimate(values).low, estimate(values).p)
    )


def test_the_correction_for_overlapping_training_sets_as_scikit_learn_documents_it():
    """Its example compares two models by 10 times 10-fold cross-validation: t = 2.611, corrected t = 0.750, p = 0.227.

    p is one-sided there. The correction depends on the data through t alone.
    """
    num, uncorrected = 100, 2.611
    values = np.random.default_rng(0).normal(size=num)
    values = (values - values.mean()) / values.std(ddof=1) + uncorrected / np.sqrt(num)
    found = estimate(values[None], overlap=1 / 9)
    assert found.p / 2 == pytest.approx(0.227, abs=5e-4)
    half = (found.high - found.low) / 2
    assert found.mean / (half / stats.t.ppf(0.975, 99)) == pytest.approx(0.750, abs=5e-4)


@pytest.mark.parametrize("values", [[[0.5]], [[0.5], [0.7]], [[0.5, MISSING], [MISSING, 0.7]]])
def test_one_replicate_has_a_mean_but_no_interval(values):
    found = estimate(np.array(values))
    assert found.mean == pytest.approx(np.nanmean(values))
    assert found.low is found.high is found.p is found.df is None
    assert found.num_replicates == 1


def test_replicates_that_agree_do_not_say_how_far_others_would_be_away():
    found = estimate(np.array([[0.1, 0.1, 0.1]]) - 0.3)
    assert found.mean == pytest.approx(-0.2)
    assert found.p is None
    assert found.num_replicates == 3


@pytest.mark.parametrize("values", [np.empty((0, 3)), np.full((2, 3), MISSING)])
def test_no_value_is_no_estimate(values):
    assert estimate(values) is None


def test_a_combination_with_one_value_is_left_out_where_others_have_more():
    values = np.array([[0.1, 0.2, 0.4], [9.0, MISSING, MISSING]])
    found = estimate(values)
    assert found == estimate(values[:1])
    assert found.num_combinations == 1


def test_holms_correction_as_r_documents_it():
    """p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")."""
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])


def test_holm_keeps_the_order_and_leaves_out_what_was_not_tested():
    assert holm([0.04, None, 0.01, 0.03]) == pytest.approx([0.06, None, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([None]) == [None]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [(121, 59, 0.000004), (70, 59, 0.378688), (80, 59, 0.089452), (30, 60, 0.00206), (10, 30, 0.002221), (10, 10, 1)],
)
def test_mcnemars_exact_test_as_statsmodels_checks_it(only_a, only_b, p):
    """Its tests compare with VassarStats, http://vassarstats.net/propcorr.html; 101 right by both, 33 by neither."""
    a = np.repeat([True, True, False, False], [101, only_a, only_b, 33])
    b = np.repeat([True, False, True, False], [101, only_a, only_b, 33])
    assert mcnemar(a, b) == (only_a, only_b, pytest.approx(p, abs=5e-6))


def test_networks_that_err_on_the_same_images_are_not_told_apart():
    right = np.array([True, False, True])
    assert mcnemar(right, right) == (0, 0, 1.0)


def test_the_reach_of_an_interval():
    assert interval_factor(3) == pytest.approx(4.302653 / np.sqrt(3))
