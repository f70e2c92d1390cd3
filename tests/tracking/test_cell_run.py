"""What a run records, read back through MLflow's client from a real store."""

from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest
import torch
from PIL import Image
from pyarrow import csv
from sklearn.metrics import roc_auc_score

from image_sweeps.cell.cell import Cell
from image_sweeps.cell.claim import Claim
from image_sweeps.config.composition import composed, hydra_at
from image_sweeps.dataset import ImageSet, StreamedSet
from image_sweeps.fit.epoch import Epoch
from image_sweeps.fit.evaluate import evaluate
from image_sweeps.tracking.cell_run import open_run
from image_sweeps.tracking.store import open_store

NAMES = ("ant", "bee", "cat")
EPOCH = Epoch(1, 1.0, 0.5, 0.0, 0.9, 0.6, 0.1, 2.0, 1_700_000_000_000)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def cell(outputs):
    with hydra_at():
        return Cell.of(composed([f"outputs_dir={outputs}"]), [], "fingerprint")


def evaluation_of(num_images=30, strength=1.0):
    labels = torch.arange(num_images) % 3
    logits = torch.randn(num_images, 3, generator=torch.Generator().manual_seed(0))
    logits[torch.arange(num_images), labels] += strength
    return evaluate(logits, labels)


def held(folder, num_images):
    images = np.random.default_rng(0).integers(0, 256, (num_images, 1, 8, 8), np.uint8)
    return ImageSet(torch.from_numpy(images), torch.arange(num_images) % 3)


def streamed(folder, num_images):
    whole = held(folder, num_images)
    np.save(folder / "images.npy", whole.images.numpy())
    return StreamedSet(folder / "images.npy", np.arange(num_images), whole.labels, num_workers=0)


def recorded(cell, home, evaluation, test):
    """A run with a batch and a result, and the folder of its artifacts."""
    with open_run(cell, Claim.acquire(home), print) as run:
        run.log_batch(torch.rand(5, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1]), NAMES)
        run.log_result([EPOCH], EPOCH, evaluation, NAMES, test)
    logged = open_store(cell.config).client.get_run(run.id)
    return logged, Path(urlparse(logged.info.artifact_uri).path)


@pytest.fixture(scope="module", params=[held, streamed])
def run(request, cell, tmp_path_factory):
    evaluation, folder = evaluation_of(), tmp_path_factory.mktemp("cell")
    return evaluation, *recorded(cell, folder, evaluation, request.param(folder, 30))


def table(artifacts, name):
    return csv.read_csv(artifacts / name).to_pandas()


def test_every_figure_is_a_picture_and_has_its_numbers_beside_it(run):
    _, logged, artifacts = run
    assert logged.info.status == "FINISHED"
    figures = {path.stem: path for path in (artifacts / "figures").iterdir()}
    assert set(figures) == {"batch", "confusion", "curves", "mistakes", "precision_recall", "reliability", "roc"}
    for path in figures.values():
        with Image.open(path) as picture:
            assert (picture.format, picture.mode) == ("PNG", "RGB")
            assert min(picture.size) > 200
    tables = {path.stem for path in artifacts.glob("*.csv")}
    assert tables == {"calibration", "confusion", "history", "mistakes", "per_class", "precision_recall", "roc"}


def test_areas_and_calibration_error_are_metrics(run):
    evaluation, logged, _ = run
    expected = roc_auc_score(evaluation.labels, evaluation.probabilities, multi_class="ovr", average="macro")
    assert logged.data.metrics["test/roc_auc"] == pytest.approx(expected)
    assert 0 < logged.data.metrics["test/average_precision"] < 1
    assert 0 < logged.data.metrics["test/ece"] < 1


def test_the_areas_of_each_class_are_in_its_row(run):
    _, logged, artifacts = run
    per_class = table(artifacts, "per_class.csv")
    assert per_class["class"].tolist() == list(NAMES)
    assert per_class["roc_auc"].mean() == pytest.approx(logged.data.metrics["test/roc_auc"])
    assert per_class["average_precision"].mean() == pytest.approx(logged.data.metrics["test/average_precision"])


def test_the_points_of_a_curve_span_its_area(run):
    _, _, artifacts = run
    areas = table(artifacts, "per_class.csv").set_index("class")["roc_auc"]
    for name, points in table(artifacts, "roc.csv").groupby("class"):
        area = np.trapezoid(points["true_positive_rate"], points["false_positive_rate"])
        assert area == pytest.approx(areas[name], abs=1e-5)
    points = table(artifacts, "precision_recall.csv")
    assert list(points.columns) == ["class", "recall", "precision"]
    assert set(points["class"]) == set(NAMES)


def test_the_calibration_error_follows_from_its_table(run):
    _, logged, artifacts = run
    bins = table(artifacts, "calibration.csv")
    assert len(bins) == 15
    assert bins["count"].sum() == 30
    gaps = (bins["accuracy"] - bins["confidence"]).abs() * bins["count"] / 30
    assert gaps.sum() == pytest.approx(logged.data.metrics["test/ece"])


def test_all_mistakes_are_listed_with_the_most_confident_first(run):
    evaluation, _, artifacts = run
    mistakes = table(artifacts, "mistakes.csv")
    wrong = np.flatnonzero(evaluation.labels != evaluation.predictions)
    assert sorted(mistakes["index"]) == wrong.tolist()
    assert mistakes["confidence"].is_monotonic_decreasing
    for _, row in mistakes.iterrows():
        assert row["label"] == NAMES[evaluation.labels[row["index"]]]
        assert row["prediction"] == NAMES[evaluation.predictions[row["index"]]]
        assert row["confidence"] == pytest.approx(evaluation.probabilities[row["index"]].max())


@pytest.mark.parametrize("kind", [held, streamed])
def test_a_network_without_a_mistake_is_recorded_as_well(cell, tmp_path, kind):
    _, artifacts = recorded(cell, tmp_path, evaluation_of(strength=9.0), kind(tmp_path, 30))
    assert (artifacts / "mistakes.csv").read_text() == "index,label,prediction,confidence\n"
    assert (artifacts / "figures" / "mistakes.png").exists()


def test_a_class_that_the_test_split_lacks_has_empty_areas_and_no_points(cell, tmp_path):
    evaluation = evaluate(torch.eye(3)[[0, 1, 0, 1]], torch.tensor([0, 1, 1, 0]))
    logged, artifacts = recorded(cell, tmp_path, evaluation, held(tmp_path, 4))
    assert table(artifacts, "per_class.csv")["roc_auc"].isna().tolist() == [False, False, True]
    assert set(table(artifacts, "roc.csv")["class"]) == {"ant", "bee"}
    assert logged.data.metrics["test/roc_auc"] == 0.5


def test_areas_that_do_not_exist_do_not_stop_the_run(cell, tmp_path):
    evaluation = evaluate(torch.eye(3)[[0, 1]], torch.tensor([0, 0]))
    logged, _ = recorded(cell, tmp_path, evaluation, held(tmp_path, 2))
    assert logged.info.status == "FINISHED"
    assert np.isnan(logged.data.metrics["test/roc_auc"])
