import pytest

from image_sweeps.report import formatting
from image_sweeps.report.statistics import Estimate


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.9, 0.95, "90.0% to 95.0%"),
        (0.9, 1.02, "90.0% to 100.0%†"),
        (-0.1, 0.2, "0.0% to 20.0%†"),
        (0, 1, "0.0% to 100.0%"),
    ],
)
def test_no_accuracy_is_shown_beyond_0_and_1_and_what_was_cut_is_marked(low, high, text):
    assert formatting.interval(low, high) == text


@pytest.mark.parametrize(
    ("difference", "text"),
    [(0.028, "+2.8"), (-0.028, "\N{MINUS SIGN}2.8"), (0.0001, "0.0"), (-0.0001, "0.0"), (0.9, "+90.0")],
)
def test_differences_are_points_with_their_sign(difference, text):
    assert formatting.points(difference) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0.3161732168364369", "0.3162"),
        ("1.2345678e-05", "1.235e-05"),
        ("0.00325", "0.00325"),
        ("leaky_relu", "leaky_relu"),
    ],
)
def test_of_a_number_that_nobody_typed_a_few_digits_are_shown(value, text):
    assert formatting.short(value) == text


def test_an_interval_of_a_difference():
    assert formatting.points_between(Estimate(0.0, -0.012, 0.034, 0.5, 2, 3, 1)) == "\N{MINUS SIGN}1.2 to +3.4"
    assert formatting.points_between(Estimate(0.0, -1.2, 0.5, 0.5, 2, 3, 1)) == "\N{MINUS SIGN}100.0 to +50.0†"
    assert formatting.points_between(Estimate(0.0, None, None, None, None, 1, 1)) == "\N{EN DASH}"


@pytest.mark.parametrize(("p", "text"), [(None, "\N{EN DASH}"), (0.0004, "< 0.001"), (0.0123, "0.012"), (1.0, "1.000")])
def test_p_values(p, text):
    assert formatting.p_value(p) == text


@pytest.mark.parametrize(
    ("texts", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_lists(texts, text):
    assert formatting.listed(texts) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.21, "0.2 s"), (42.0, "42 s"), (600, "10 min"), (7200, "2.0 h"), (86400, "24.0 h")]
)
def test_durations(seconds, text):
    assert formatting.duration(seconds) == text


def test_counts():
    assert (formatting.count(1, "cell"), formatting.count(1200, "cell")) == ("1 cell", "1,200 cells")
