"""Charts on their own; `test_page.py` looks at them in a browser."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from image_sweeps.report.charts import charts, standalone
from image_sweeps.report.charts.cost import COSTS, against
from image_sweeps.report.charts.frame import LIGHT, look
from image_sweeps.report.charts.learning import MAX_POINTS, learning
from image_sweeps.report.record import History
from image_sweeps.system.text import legible
from tests.support.report_records import summary_of

SEEDS = ["0", "1", "2"]


def history(*val_accuracy):
    epochs = np.arange(1, len(val_accuracy) + 1)
    return History(epochs, 1 / epochs, np.array(val_accuracy), np.ones(len(epochs)))


def texts(svg):
    elements = ElementTree.fromstring(svg).iter()  # noqa: S314  ours
    return [element.text for element in elements if element.tag.endswith("text")]


def lines(svg, name):
    """The points of every line in a colour, as the figure has them."""
    found = re.findall(rf'd="([^"]*)"[^>]*stroke: var\(--{name}\)', svg)
    return [np.array([tuple(map(float, p)) for p in re.findall(r"[ML] ([\d.]+) ([\d.]+)", d)]) for d in found]


def test_a_line_is_the_mean_and_a_band_reaches_from_lowest_to_highest():
    svg = learning("model", {"cnn": [history(0.2, 0.4), history(0.4, 0.8)]}, "val_accuracy")
    mean, _ = lines(svg, "c1")  # the last is the legend's
    (band,) = re.findall(r'<path id="[^"]*" d="([^"]*z)', svg)
    heights = {round(float(y), 3) for _, y in re.findall(r"([\d.]+) -([\d.]+)", band)}
    assert len(heights) == 3  # 0.2, 0.4 twice, 0.8
    low, middle, high = sorted(heights)
    assert middle - low == pytest.approx((high - middle) / 2, rel=1e-3)
    assert mean[0][1] - mean[1][1] == pytest.approx((high - low) / 2, rel=1e-3)  # 0.3 to 0.6


def test_where_cells_have_stopped_the_line_is_dotted():
    whole = learning("model", {"cnn": [history(0.2, 0.4, 0.5)]}, "val_accuracy")
    broken = learning("model", {"cnn": [history(0.2, 0.4, 0.5), history(0.1, 0.2)]}, "val_accuracy")
    assert [len(line) for line in lines(whole, "c1")[:-1]] == [3]
    assert [len(line) for line in lines(broken, "c1")[:-1]] == [2, 2]
    assert broken.count("stroke-dasharray") == 1


def test_a_value_without_a_finished_cell_has_no_line():
    svg = learning("model", {"cnn": [], "mlp": [history(0.2, 0.4)]}, "val_accuracy")
    assert "mlp" in texts(svg)
    assert lines(svg, "c2")  # its colour is the same as with the other one there
    assert "cnn" not in texts(svg)


def test_many_epochs_are_thinned():
    svg = learning("model", {"cnn": [history(*np.random.default_rng(0).random(5000))]}, "val_accuracy")
    assert max(map(len, lines(svg, "c1"))) <= MAX_POINTS
    assert len(svg) < 50_000


def test_a_colour_stands_for_the_same_value_in_all_charts():
    summary = summary_of({"model": ["cnn", "mlp"]}, lambda v: 0.5 if v["model"] == "cnn" else 0.9)
    svg = against(COSTS[1], summary.configurations, [1, 2], "model", ["cnn", "mlp"])
    legend = [name for name in texts(svg) if name.startswith("model=")]
    assert legend == ["model=cnn", "model=mlp"]  # although the best comes first in the table
    assert lines(svg, "c1")
    assert lines(svg, "c2")


def test_more_values_than_colours_differ_in_their_lines():
    looks = [look(place) for place in range(24)]
    assert len(set(looks)) == 24
    assert all(one[0] != other[0] for one, other in pairwise(looks))


def test_a_chart_in_a_file_of_its_own_has_its_colours_written_in():
    svg = standalone(learning("a & b <i>", {'"1"': [history(0.2, 0.4)]}, "val_accuracy"))
    assert "var(" not in svg
    assert LIGHT["c1"] in svg
    assert {"validation accuracy by a & b <i>", '"1"'} <= set(texts(svg))


def test_text_that_looks_like_a_colour_or_a_reference_stays_text():
    name = "#010101 url(#x) $y$"
    assert name in texts(learning("model", {name: [history(0.2)]}, "val_accuracy"))


def test_effects_without_an_interval_are_points():
    with_one = charts(summary_of({"model": ["cnn", "mlp"]}, lambda _: 0.5), {})["effects"]
    noise = {"0": 0.0, "1": 0.01, "2": 0.03}
    factors = {"model": ["cnn", "mlp"], "seed": SEEDS}
    with_three = charts(summary_of(factors, lambda v: 0.5 + noise[v["seed"]] * (v["model"] == "mlp")), {})["effects"]
    assert len(lines(with_three, "c1")) == len(lines(with_one, "c1")) + 1


def test_what_there_is_nothing_of_is_not_drawn():
    assert charts(summary_of({}, lambda _: 0.5), {}) == {}
    assert charts(summary_of({"model": ["cnn", "mlp"]}, lambda _: "failed"), {}) == {}


@pytest.mark.parametrize(("name", "shown"), [("a  b\nc", "a b c"), ("x" * 30, "x" * 11 + "…" + "x" * 12)])
def test_long_names_lose_their_middle(name, shown):
    assert legible(name, 24) == shown
