"""Class names in any script and with any separator, and hundreds of classes, from folders to the report."""

import csv
import io
import json
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from PIL import Image
from pyarrow import parquet

from image_sweeps.dataset.layout import File, arrange, printable
from image_sweeps.report.charts.confusion import MAX_SIDE, confusion
from image_sweeps.report.charts.confusion import _thinned as thinned
from image_sweeps.report.content import MAX_COUNTED
from image_sweeps.report.export import _plain as plain
from image_sweeps.report.record import Confusion
from image_sweeps.report.test_errors import mixups
from image_sweeps.tracking import figures, tables
from image_sweeps.tracking.figures.frame import picture
from tests.support.archives import encoded, image_folder, image_zip, noise, write_folder, write_zip
from tests.support.evaluations import epochs, evaluated, images_of
from tests.support.fuzzing import fuzz
from tests.support.page_reader import Reader
from tests.support.soak import DEPTH

NAMES = (
    *(
        "plain",
        "a,b",
        "a=b",
        "a:b",
        "a;b",
        "a|b",
        "a b",
        "tab\there",
        "new\nline",
        "car\rriage",
        'quo"te',
        "apo'strophe",
    ),
    *("back\\slash", r"\x1b", "\x1b", "<script>alert(1)<script>", "<img src=x onerror=alert(1)>", "&amp;&lt;", "]]>"),
    *(
        "$x^2$",
        r"$\frac{1$",
        "{{ 7*7 }}",
        "{% raw %}",
        "{0}%s%d",
        "[bold]x",
        "[red]",
        "-dash",
        "--",
        "=1+1",
        "@SUM(A1)",
    ),
    *(" ", "   ", " lead", "trail ", "#hash", "*", "?", "~", "CON", "nul", "NaN", "null", "None", "true", "1e5"),
    *(
        "label",
        "index",
        "prediction",
        "p_plain",
        "class",
        "train",
        "Ünï",
        "日本語",
        "한국어",
        "العربية",
        "עברית",
        "हिन्दी",
    ),
    *(
        "ไทย",
        "😀👨‍👩‍👧",
        "e\u0301",
        "\u00e9",
        "\u202eevil",
        "\u200bzero",
        "\u00a0",
        "\u2028",
        "\ufeffbom",
        "\x07",
        "\x7f",
    ),
    *("\U000e0041", "\U0001d54f" * 50, "x" * 250, "\udcff\udcfe", "\x01"),
)
MANY = 2000 if DEPTH else 700
"""More classes than the picture of a confusion matrix has rows, and than the report has counts of."""
SPLIT = ("dataset.test_fraction=0.4", "dataset.val_fraction=0.35", "dataset.image_size=4", "epochs=1", "model=mlp")


def command(path, outputs, kind="image_folder"):
    return ("-m", f"dataset={kind}", f"dataset.path={path}", f"outputs_dir={outputs}", *SPLIT)


def artifacts_of(outputs):
    """The folder of a cell's artifacts, and the sweep's."""
    client = MlflowClient(f"sqlite:///{outputs}/mlflow.db")
    found = [client.get_experiment_by_name("image-classification").experiment_id]
    run = next(run for run in client.search_runs(found) if run.data.tags["kind"] == "cell")
    assert run.info.status == "FINISHED"
    (sweep,) = (outputs / "sweeps").iterdir()
    return Path(urlparse(run.info.artifact_uri).path), sweep


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def named(command_line, tmp_path_factory):
    folder = tmp_path_factory.mktemp("named")
    files = {f"{name}/{n}.png": encoded(noise(9 * k + n)) for k, name in enumerate(NAMES) for n in range(5)}
    done = command_line(*command(write_folder(folder / "x", files), folder / "outputs"))
    return done, folder


def test_names_of_any_kind_are_trained_on(named):
    done, _ = named
    assert (done.returncode, done.stderr) == (0, "")


def test_every_name_stands_once_in_every_table_and_in_the_same_order(named):
    cell, _ = artifacts_of(named[1] / "outputs")
    header, *per_class = rows(cell / "per_class.csv")
    names = [row[0] for row in per_class]
    assert len(set(names)) == len(names) == len(NAMES)
    assert all(name.isprintable() for name in names)
    kept = {name for name in NAMES if name.isprintable() and "\\" not in name}
    assert kept <= set(names)
    assert {r"\\x1b", r"\x1b", r"back\\slash", r"new\nline", r"\udcff\udcfe"} <= set(names)
    (corner, *columns), *counts = rows(cell / "confusion.csv")
    assert (header[0], corner, columns, [row[0] for row in counts]) == ("class", "label", names, names)
    assert sum(int(count) for row in counts for count in row[1:]) == len(NAMES) * 2
    table = parquet.read_table(cell / "test_predictions.parquet")
    assert table.column_names == ["index", "label", "prediction", *(f"p_{name}" for name in names)]


def test_the_figures_are_drawn_and_the_report_takes_no_name_for_markup(named):
    cell, sweep = artifacts_of(named[1] / "outputs")
    for path in (cell / "figures").iterdir():
        with Image.open(path) as figure:
            figure.load()
            assert max(figure.size) < 3000
    page = Reader((sweep / "report.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert not {"script", "img"} & set(page.tags)
    best = json.loads((sweep / "report.json").read_text(encoding="utf-8"))["best"]
    assert best["confusion"]["class_names"] == [row[0] for row in rows(cell / "per_class.csv")][1:]
    assert best["mixups"][0]["label"] in page.text


def test_an_archive_gives_the_same_names_as_the_folder(tmp_path):
    names = [name for name in NAMES if not {"\\", "\udcff"} & set(name)]
    files = {f"{name}/1.png": encoded(noise()) for name in names}
    zipped = image_zip(write_zip(tmp_path / "x.zip", files))
    folder = image_folder(write_folder(tmp_path / "x", files))
    assert zipped.class_names == folder.class_names
    assert zipped.fingerprint == folder.fingerprint
    assert len(set(zipped.class_names)) == len(names)


NAME = st.text(min_size=1, max_size=30) | st.sampled_from(NAMES) | st.text("\\x1bn\n\x1b/", min_size=1, max_size=5)


@fuzz(100)
@given(st.sets(NAME.filter(lambda name: name.strip(".") and not {"/", "\0"} & set(name)), min_size=2, max_size=8))
def test_names_stay_as_many_as_they_are_and_go_through_csv_unchanged(names):
    names = {name for name in names if not name.startswith(".")} | {"a", "b"} - {"train", "test", "val"}
    files = [File(f"{name}/1.png", ("x", name, "1.png"), 1) for name in names if name != "__MACOSX"]
    shown = arrange(files, "x").class_names
    assert len(set(shown)) == len(files)
    assert all(name.isprintable() for name in shown)
    text = tables.Table(("label", *shown), [(name, 1) for name in shown]).csv()
    header, *written = csv.reader(io.StringIO(text, newline=""))
    assert header[1:] == [row[0] for row in written] == list(shown)


@fuzz(5)
@given(st.lists(NAME.map(printable), min_size=3, max_size=3, unique=True))
def test_figures_of_classes_of_any_name_are_drawn(names):
    result = evaluated(3, 12)
    for figure in (
        figures.confusion(result, names),
        figures.roc(result, names),
        figures.mistakes(result, images_of(len(result.mistakes[: figures.MAX_MISTAKES])), names),
        figures.curves(epochs(2), " ".join(names)),
    ):
        assert picture(figure).size[0] < 3000
    page = Reader(confusion(Confusion(names, result.confusion)))
    assert page.open == []


@pytest.fixture(scope="module")
def many(command_line, tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    data = [encoded(noise(n, (4, 4, 3))) for n in range(5)]
    files = {f"class {k:04}/{n}.png": data[(k + n) % 5] for k in range(MANY) for n in range(5)}
    done = command_line(*command(write_zip(folder / "x.zip", files), folder / "outputs", "image_zip"))
    return done, folder


@pytest.mark.deep
def test_hundreds_of_classes_are_trained_on_and_what_is_written_stays_small(many):
    done, folder = many
    assert (done.returncode, done.stderr) == (0, "")
    cell, sweep = artifacts_of(folder / "outputs")
    assert len(rows(cell / "per_class.csv")) == MANY + 1
    assert (cell / "confusion.csv").stat().st_size < 3 * MANY**2
    for path in (cell / "figures").iterdir():
        assert path.stat().st_size < 1_000_000
    assert (sweep / "report.html").stat().st_size < 1_000_000
    assert (sweep / "report.json").stat().st_size < 100 * MANY
    best = json.loads((sweep / "report.json").read_text())["best"]
    assert len(best["confusion"]["class_names"]) == MANY
    assert best["confusion"]["counts"] is None
    assert best["mixups"]


def test_counts_are_in_the_report_up_to_a_number_of_classes():
    few, more = (
        Confusion([str(k) for k in range(n)], np.eye(n, dtype=np.int64)) for n in (MAX_COUNTED, MAX_COUNTED + 1)
    )
    assert plain(few)["counts"] == np.eye(MAX_COUNTED).tolist()
    assert plain(more) == {"class_names": list(more.class_names), "counts": None}


def test_a_thinned_confusion_matrix_keeps_the_largest_share_of_those_it_stands_for():
    shares = np.random.default_rng(0).random((1501, 1501))
    found = thinned(shares)
    assert found.shape == (501, 501)
    assert max(found.shape) <= MAX_SIDE
    for row, column in ((0, 0), (3, 400), (500, 500)):
        assert found[row, column] == shares[3 * row : 3 * row + 3, 3 * column : 3 * column + 3].max()


def test_mixups_are_found_among_thousands_of_classes():
    counts = np.zeros((2000, 2000), dtype=np.int64)
    counts[[5, 1999, 7], [5, 3, 1000]] = (9, 2, 4)
    found = mixups(Confusion([str(k) for k in range(2000)], counts))
    assert [(m.label, m.prediction, m.count, m.share) for m in found] == [("7", "1000", 4, 1.0), ("1999", "3", 2, 1.0)]
