import re

import numpy as np
import pytest
import torch

from image_sweeps.fit.evaluate import evaluate
from image_sweeps.system.text import legible
from image_sweeps.tracking import figures
from image_sweeps.tracking.figures.mosaic import Mosaic
from tests.support.evaluations import epochs, evaluated, images_of

TWENTY_RIGHT = "test accuracy 100% (95% interval 84% to 100%) on 20 images"


def twenty_right():
    return evaluate(torch.eye(2)[torch.arange(20) % 2] * 9, torch.arange(20) % 2)


def named(num_classes):
    return [f"class {k}" for k in range(num_classes)]


def written(figure):
    """All text of the figure outside its axes."""
    return "\n".join(text.get_text() for text in figure.texts)


def legend(figure):
    shown = figure.axes[0].get_legend()
    return shown.get_title().get_text(), [text.get_text() for text in shown.get_texts()]


def test_the_curves_show_training_cost_and_validation_accuracy_with_both_axes_labelled():
    figure = figures.curves(epochs(3), "model=cnn")
    cost, accuracy = figure.axes
    assert (cost.get_xlabel(), cost.get_ylabel()[:13], accuracy.get_ylabel()) == (
        "epoch",
        "training cost",
        "validation accuracy",
    )
    np.testing.assert_allclose(cost.lines[0].get_xydata(), [(n, 1.0 / n) for n in (1, 2, 3)])
    np.testing.assert_allclose(accuracy.lines[0].get_xydata(), [(n, 0.7 + n / 1000) for n in (1, 2, 3)])
    assert "model=cnn" in written(figure)


@pytest.mark.parametrize("num_epochs", [1, 100])
def test_epochs_are_marked_by_whole_numbers(num_epochs):
    figure = figures.curves(epochs(num_epochs), "n")
    figures.picture(figure)
    assert all(tick == round(tick) for tick in figure.axes[0].get_xticks())


@pytest.mark.parametrize("num_classes", [2, 10, 60, 120])
def test_the_confusion_matrix_shows_shares_of_the_label_with_the_counts_written_in(num_classes):
    labels = torch.arange(num_classes).repeat(3)
    logits = torch.eye(num_classes)[labels]
    logits[0] = torch.eye(num_classes)[1]
    figure = figures.confusion(evaluate(logits, labels), named(num_classes))
    axes = figure.axes[0]
    assert axes.images[0].get_array()[0, 1] == pytest.approx(1 / 3)
    counts = {text.get_text() for text in axes.texts}
    assert counts == (set() if num_classes > 25 else {"1", "2", "3"})
    ticks = [text.get_text() for text in axes.get_xticklabels()]
    assert ticks == (named(num_classes)[::2] if num_classes == 120 else named(num_classes))
    assert max(figures.picture(figure).size) < 1700


@pytest.mark.parametrize("draw", [figures.confusion, figures.roc, figures.precision_recall])
def test_accuracy_stands_with_its_interval(draw):
    assert TWENTY_RIGHT in written(draw(twenty_right(), named(2)))


def test_accuracy_stands_with_its_interval_in_the_other_figures():
    assert TWENTY_RIGHT in written(figures.reliability(twenty_right()))
    assert TWENTY_RIGHT in written(figures.mistakes(twenty_right(), images_of(0), named(2)))


@pytest.mark.parametrize(
    ("num_right", "num_images", "expected"),
    [
        (19, 20, "95% (95% interval 76% to 99%) on 20 images"),
        (1, 1, "100% (95% interval 21% to 100%) on 1 image"),
        (348, 360, "96.7% (95% interval 94.3% to 98.1%) on 360 images"),
        (9990, 10000, "99.90% (95% interval 99.82% to 99.95%) on 10,000 images"),
    ],
)
def test_an_interval_is_given_in_the_digits_that_it_is_worth(num_right, num_images, expected):
    predictions = (torch.arange(num_images) >= num_right).long()
    result = evaluate(torch.eye(2)[predictions], torch.zeros(num_images, dtype=torch.int64))
    assert f"test accuracy {expected}" in written(figures.reliability(result))


@pytest.mark.parametrize(("draw", "what"), [(figures.roc, "area"), (figures.precision_recall, "average precision")])
def test_every_class_has_its_curve_and_its_area(draw, what):
    result = evaluated()
    figure = draw(result, named(10))
    (drawn,) = figure.axes[0].collections
    assert len(drawn.get_segments()) == 10
    areas = result.roc_auc if draw is figures.roc else result.average_precision
    assert legend(figure) == (what, [f"{area:.3f}  class {k}" for k, area in enumerate(areas)])
    assert f"{areas.mean():.3f}" in written(figure)


@pytest.mark.parametrize("draw", [figures.roc, figures.precision_recall])
def test_of_many_classes_the_lowest_areas_are_named_and_the_others_grey(draw):
    result = evaluated(num_classes=60, num_images=600)
    figure = draw(result, named(60))
    areas = result.roc_auc if draw is figures.roc else result.average_precision
    title, lines = legend(figure)
    assert title.endswith("the lowest 10")
    assert [line.split("  ")[1] for line in lines] == [f"class {k}" for k in np.argsort(areas, kind="stable")[:10]]
    colours = [tuple(colour) for colour in figure.axes[0].collections[0].get_colors()]
    assert colours.count((0.75, 0.75, 0.75, 1)) == 50
    assert len(set(colours)) == 11


def test_the_corner_of_a_good_roc_curve_is_enlarged():
    good, bad = (figures.roc(evaluated(strength=strength), named(10)) for strength in (5.0, 0.5))
    assert [len(good.axes), len(bad.axes)] == [2, 1]


def test_a_precision_recall_curve_goes_in_steps():
    figure = figures.precision_recall(evaluated(num_classes=2), named(2))
    points = figure.axes[0].collections[0].get_segments()[0]
    assert (np.abs(np.diff(points, axis=0)) > 0).sum(1).max() == 1


def test_classes_without_a_curve_are_counted_in_the_title():
    figure = figures.roc(evaluate(torch.eye(4)[[0, 1]], torch.tensor([0, 1])), named(4))
    assert "macro area 1.000 over 2 of 4 classes: of the others there is no test image" in written(figure)
    assert len(legend(figure)[1]) == 2


def test_one_class_alone_has_no_curve_and_the_figures_are_still_drawn():
    result = evaluate(torch.eye(2)[[0, 1]], torch.tensor([0, 0]))
    for draw in (figures.roc, figures.precision_recall):
        figure = draw(result, named(2))
        assert "nan over 0 of 2 classes" in written(figure)
        assert figures.picture(figure).size


def test_the_reliability_diagram_shows_each_bin_that_has_images_and_how_many():
    result = evaluated(num_images=300)
    figure = figures.reliability(result)
    diagram, counts = figure.axes
    table = result.calibration
    used = table.count > 0
    np.testing.assert_allclose(diagram.lines[0].get_xydata(), [(0, 0), (1, 1)])
    points = np.column_stack([table.confidence, table.accuracy])[used]
    np.testing.assert_allclose(diagram.lines[1].get_xydata(), points)
    assert [bar.get_height() for bar in counts.patches] == table.count.tolist()
    assert f"expected calibration error (ECE) {table.ece:.3f}" in written(figure)
    assert "95% interval" in diagram.get_ylabel()


def tiles(figure):
    (mosaic,) = figure.findobj(Mosaic)
    return mosaic


def test_the_most_confident_mistakes_are_shown_with_label_prediction_and_confidence():
    result = evaluated(num_images=300, strength=1.0)
    first = result.mistakes[0]
    figure = figures.mistakes(result, images_of(300)[result.mistakes[:24]], named(10))
    assert tiles(figure).num_images == 24
    text = written(figure)
    assert f"The 24 most confident of {len(result.mistakes)} mistakes" in text
    prediction, confidence = result.predictions[first], result.probabilities[first].max()
    caption = f"class {result.labels[first]}\nclass {prediction}, {confidence:.1%}"
    assert text.index(caption) < 200
    assert len(re.findall(r"^class \d$", text, re.MULTILINE)) == 24


@pytest.mark.parametrize(
    ("num_mistakes", "title"), [(0, "No mistakes"), (1, "The only mistake"), (2, "All 2 mistakes")]
)
def test_few_mistakes_are_all_shown_and_none_is_said_to_be_none(num_mistakes, title):
    predictions = torch.arange(20) % 2
    predictions[:num_mistakes] = 1 - predictions[:num_mistakes]
    result = evaluate(torch.eye(2)[predictions], torch.arange(20) % 2)
    figure = figures.mistakes(result, images_of(num_mistakes), named(2))
    assert tiles(figure).num_images == num_mistakes
    assert written(figure).startswith(title)
    assert figures.picture(figure).size


def test_a_batch_shows_its_first_images_with_their_labels():
    figure = figures.batch(torch.rand(100, 3, 16, 16), torch.arange(100) % 10, named(10))
    assert tiles(figure).num_images == 32
    assert written(figure).startswith("32 of the 100 training images of a batch")
    assert written(figure).count("class 9") == 3


@pytest.mark.parametrize("size", [1, 8, 28, 64, 128, 150, 224])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_every_size_are_drawn_in_their_colours(size, channels):
    images = torch.full((2, channels, size, size), 1.0)
    images[0] = torch.tensor([0.2, 0.4, 0.6])[:channels, None, None]
    picture = np.asarray(figures.picture(figures.batch(images, torch.tensor([0, 1]), ["a", "b"])))
    colour = [51, 102, 153] if channels == 3 else [51, 51, 51]
    assert 64**2 <= (picture[80 : 80 + 128] == colour).all(2).sum() <= 128**2


def test_an_image_is_drawn_upright_and_pixel_for_pixel():
    image = images_of(1, size=4, channels=3)
    picture = np.asarray(figures.picture(figures.batch(image.float() / 255, torch.tensor([0]), ["a"])))
    enlarged = image[0].permute(1, 2, 0).repeat_interleave(32, 0).repeat_interleave(32, 1).numpy()
    top, left = 80, 12
    np.testing.assert_array_equal(picture[top : top + 128, left : left + 128], enlarged)


def test_names_of_any_kind_are_drawn_as_they_are_and_without_a_warning():
    names = ["$\\frac{1$", "ナルト", "a\nb", "long " * 40, "_hidden"]
    result = evaluated(num_classes=5)
    drawn = [draw(result, names) for draw in (figures.confusion, figures.roc, figures.precision_recall)]
    drawn.append(figures.mistakes(result, images_of(24)[: len(result.mistakes)], names))
    drawn.append(figures.batch(torch.rand(5, 1, 8, 8), torch.arange(5), names))
    drawn.append(figures.curves(epochs(2), "optimizer.lr=0.1 $\\frac{1$ " * 20))
    for figure in drawn:
        assert figures.picture(figure).size
    assert [line.split("  ")[1] for line in legend(drawn[1])[1]][:3] == ["$\\frac{1$", "ナルト", "a b"]


def test_a_long_name_loses_its_middle():
    assert legible("class number 58", 12) == "class…ber 58"
    assert legible("class 58", 12) == "class 58"


def test_a_picture_is_as_large_as_the_figure_says():
    figure = figures.reliability(evaluated())
    assert figures.picture(figure).size == tuple(round(100 * inches) for inches in figure.get_size_inches())
