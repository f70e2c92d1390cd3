"""Reports of sweeps in a real store, written, read back, and asked for on the command line."""

import csv
import json
import re
import shlex
import sys
from shutil import rmtree

import pytest

from image_sweeps.cell.cell import identity
from image_sweeps.cell.result import Result
from image_sweeps.cell.saved_plan import SavedPlan
from image_sweeps.cell.status import CellStatus
from image_sweeps.report import __main__ as command
from image_sweeps.report import write as report
from image_sweeps.report.write import write_report
from image_sweeps.system.files import UNFINISHED
from image_sweeps.tracking.store import find_store
from tests.support import warm
from tests.support.configurations import config_of
from tests.support.page_reader import Reader
from tests.support.untrained_sweeps import cell_of, maker, run_of, store_in, sweep_of

FACTORS = {"model": ["cnn", "cnn_batch"], "optimizer.lr": ["0.01", "0.1"], "seed": ["0", "1", "2"]}
NASTY = ("<script>alert(1)</script>", "\"quoted\" & 'single'", "$x^2$ and $", "new\nline", "{{ 7 * 7 }}")


def accuracy(levels):
    """Each setting adds to what a seed changes, so that its effect differs from seed to seed."""
    batch, fast = levels["model"] == "cnn_batch", levels["optimizer.lr"] == "0.1"
    noise = {"0": 0.0, "1": 0.01, "2": -0.005}[levels["seed"]]
    return 0.6 + 0.2 * batch + 0.1 * fast + noise * (1 + batch + fast)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """The folder and store of a sweep with everything in it, and its report."""
    folder, store = sweep_of(tmp_path_factory.mktemp("outputs"), FACTORS, accuracy)
    return folder, store, write_report(folder, store)


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Sweeps in one store, each with an id of its own: a store takes a second to make."""
    return maker(tmp_path_factory.mktemp("more"))


def read(folder):
    return Reader((folder / "report.html").read_text())


def test_the_three_files_are_whole(sweep):
    folder, _, written = sweep
    assert [path.name for path in written.files] == ["report.html", "report.json", "cells.csv"]
    assert not list(folder.glob(f".*{UNFINISHED}"))
    page = read(folder)
    assert page.open == []


def test_the_page_needs_nothing_else(sweep):
    folder, _, _ = sweep
    page = read(folder)
    assert all(link.startswith(("#", "data:,")) for link in page.links)
    text = (folder / "report.html").read_text()
    assert not {"script", "img", "iframe", "object"} & set(page.tags)
    assert "@import" not in text
    assert not re.findall(r"url\((?!#)", text)


def test_no_two_elements_share_an_id_and_every_reference_leads_somewhere(sweep):
    folder, _, _ = sweep
    page = read(folder)
    assert len(page.ids) == len(set(page.ids))
    text = (folder / "report.html").read_text()
    references = set(re.findall(r"(?:url\(#|href=\"#|labelledby=\")([\w-]+)", text))
    assert references
    assert references <= set(page.ids)


def test_the_page_has_all_that_was_asked_in_its_order(sweep):
    folder, _, _ = sweep
    text = (folder / "report.html").read_text()
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", text)
    assert headings == [
        "The question",
        "The answer",
        "Configurations",
        "The effect of each setting",
        "What depends on what",
        "Learning curves",
        "What accuracy costs",
        "The best cell",
        "The best networks on the same images",
        "What is missing",
        "Every cell, and how to run it again",
    ]
    for method in ("Student, 1908", "Holm, 1979", "McNemar", "Wilson"):
        assert method in text
    for cell in json.loads((folder / "report.json").read_text())["cells"]:
        assert cell["command"] in text


def test_charts_follow_the_page_and_are_described(sweep):
    folder, _, written = sweep
    assert set(written.charts) == {
        *("effects", "cost_num_parameters"),
        *(
            f"learning_{key}_{measure}"
            for key in FACTORS
            if key != "seed"
            for measure in ("val_accuracy", "train_loss")
        ),
    }
    for svg in written.charts.values():
        assert svg.startswith('<svg role="img" aria-label="')
        assert "var(--c1)" in svg
        assert not re.findall(r"#[0-9a-f]{6}", svg)
        assert "font-family" not in svg
        assert svg in (folder / "report.html").read_text()


def test_the_data_are_strict_json_with_the_numbers_of_the_page(sweep):
    folder, _, _ = sweep

    def refuse(constant):
        raise AssertionError(constant)

    data = json.loads((folder / "report.json").read_text(), parse_constant=refuse)
    assert data["sweep"] == folder.name
    assert data["counts"] == {"finished": 12}
    assert data["question"]["factors"] == {"model": ["cnn", "cnn_batch"], "optimizer.lr": ["0.01", "0.1"]}
    assert data["question"]["follows"] == {"norm": "model"}
    assert data["question"]["replicates"] == {"seed": ["0", "1", "2"]}
    best = next(c for c in data["configurations"] if c["chosen"])
    assert best["name"] == "model=cnn_batch optimizer.lr=0.1"
    assert best["test_accuracy"]["mean"] == pytest.approx(0.9 + 3 * 0.005 / 3)
    model, lr = data["effects"]
    assert model["difference"]["mean"] == pytest.approx(0.2 + 0.005 / 3)
    assert lr["difference"]["mean"] == pytest.approx(0.1 + 0.005 / 3)
    assert data["best"]["name"] == "model=cnn_batch optimizer.lr=0.1 seed=1"
    assert sum(map(sum, data["best"]["confusion"]["counts"])) == 200
    assert len(data["comparisons"]) == 6
    assert data["more_seeds"].endswith("'seed=range(5)' resume=" + folder.name)
    assert data["to_finish"] is None


def test_the_table_has_one_row_a_cell(sweep):
    folder, _, _ = sweep
    with (folder / "cells.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    for row in rows:
        assert float(row["test_accuracy"]) == pytest.approx(accuracy(row))
        assert row["command"].startswith("python -m src.train model=")
        assert row["name"] == f"model={row['model']} optimizer.lr={row['optimizer.lr']} seed={row['seed']}"
        assert float(row["seconds"]) == 2.0


def test_what_failed_is_told_with_its_reason_and_how_to_go_on(make):
    outcomes = iter(["failed", "interrupted", "running", "not run", *[0.8] * 8])
    folder, store = make(FACTORS, lambda _: next(outcomes))
    write_report(folder, store)
    data = json.loads((folder / "report.json").read_text())
    assert data["counts"] == {"failed": 1, "interrupted": 1, "running": 1, "not run": 1, "finished": 8}
    assert data["to_finish"].endswith(f"resume={folder.name}")
    text = read(folder).text
    assert "NonFiniteLossError: the loss is nan <b>&</b>" in text
    assert "This rests on 8 of 12 cells" in text


def test_a_finished_cell_whose_run_is_gone_is_said_to_be_lost(make):
    folder, store = make({"model": ["cnn", "mlp"]}, lambda _: 0.8)
    (first, *_) = write_report(folder, store).summary.cells
    gone = first.run_id
    rmtree(folder / first.id / "records")
    store.client.delete_run(gone)
    cell, other = write_report(folder, store).summary.cells
    assert (cell.status, other.status) == ("lost", "finished")
    assert gone in cell.reason


def test_a_cell_that_another_sweep_has_finished_counts(make, tmp_path):
    folder, store = make({"model": ["cnn", "mlp"]}, lambda v: 0.8 if v["model"] == "cnn" else "not run")
    cell = next(cell for cell in SavedPlan.load(folder).cells if cell.levels["model"] == "mlp")
    elsewhere = run_of(store, tmp_path, cell, 0.9, tags={"sweep": "another"})
    Result(cell.id, cell.name, CellStatus.FINISHED, run_id=elsewhere).save(folder / cell.id)
    summary = write_report(folder, store).summary
    assert [c.status for c in summary.cells] == ["finished"] * 2
    assert summary.best.run_id == elsewhere


@pytest.mark.parametrize(
    ("factors", "outcome"),
    [({}, 0.8), ({"seed": ["0", "1"]}, 0.8), ({"model": ["cnn", "mlp"]}, "failed"), ({"model": ["cnn", "mlp"]}, 1.0)],
)
def test_small_sweeps_have_a_report_too(make, factors, outcome):
    folder, store = make(factors, lambda _: outcome)
    write_report(folder, store)
    assert read(folder).open == []


def test_text_of_the_users_is_shown_as_it_is(make):
    factors = {"dataset.path": list(NASTY), "model": ["cnn", "cnn_batch"]}
    folder, store = make(factors, lambda _: 0.7, class_names=NASTY)
    written = write_report(folder, store)
    page = read(folder)
    assert page.open == []
    assert "script" not in page.tags
    for name in NASTY:
        assert name in page.text
    for svg in written.charts.values():
        assert Reader(svg).open == []


def test_a_hundred_classes_are_drawn_instead_of_written(make):
    names = [f"class {k}" for k in range(100)]
    folder, store = make({"model": ["cnn", "mlp"]}, lambda _: 0.7, class_names=names)
    written = write_report(folder, store)
    assert "confusion" in written.charts
    assert 'class="confusion"' not in (folder / "report.html").read_text()


def test_a_page_of_a_hundred_cells_is_small(make):
    factors = {"model": ["cnn", "mlp"], "optimizer.lr": list("0123456789"), "seed": list("01234")}
    folder, store = make(factors, lambda v: 0.7 + 0.01 * int(v["seed"]))
    write_report(folder, store)
    assert (folder / "report.html").stat().st_size < 1_500_000


@pytest.fixture(scope="module")
def trained(tmp_path_factory, command_line):
    """The outputs of a sweep that was really trained."""
    outputs = tmp_path_factory.mktemp("trained")
    ended = command_line(
        "-m",
        "model=mlp,cnn_batch",
        "optimizer.lr=0.1,3e-2",
        "dataset.image_size=8",
        "epochs=1",
        "l2=1e-4",
        f"outputs_dir={outputs}",
    )
    assert ended.returncode == 0, ended.stderr
    return outputs, ended.stdout


def test_a_sweep_ends_in_its_report(trained):
    outputs, shown = trained
    (folder,) = outputs.glob("sweeps/*")
    data = json.loads((folder / "report.json").read_text())
    for cell in data["cells"]:
        result = json.loads((folder / cell["id"] / "result.json").read_text())
        for key in ("run_id", "best_epoch", "val_accuracy", "test_accuracy", "test_accuracy_low", "num_parameters"):
            assert cell[key] == result[key]
        assert cell["seconds"] == pytest.approx(result["seconds"])
    assert data["question"]["factors"] == {"model": ["mlp", "cnn_batch"], "optimizer.lr": ["0.1", "0.03"]}
    assert f"{folder}/report.html" in shown
    assert data["answer"][0] in " ".join(shown.split())
    assert data["question"]["num_images"]["test"] == sum(map(sum, data["best"]["confusion"]["counts"]))


def test_the_command_of_a_cell_makes_this_cell(trained):
    """Of a sweep's by its overrides, of a single run's by its parameters."""
    outputs, _ = trained
    (folder,) = outputs.glob("sweeps/*")
    store = find_store(outputs, None, "image-classification")
    of_runs = report.write_report_of_runs(outputs / "made", store, None, folder.parent).summary.cells
    of_sweep = write_report(folder, store).summary.cells
    assert {cell.id for cell in of_runs} == {cell.id for cell in of_sweep}
    for cell in (*of_runs, *of_sweep):
        config = config_of(*shlex.split(cell.command.removeprefix("python -m src.train ")))
        assert identity(config, config.dataset.build(config.data_dir).fingerprint) == cell.id


# --- the command line -------------------------------------------------------------------------------------------------


def asked(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["report", *arguments])
    command.main()


@pytest.mark.parametrize("name", ["last", "20260131-120000-00000000"])
def test_a_sweep_is_named_by_last_or_its_id(sweep, monkeypatch, capsys, name):
    folder, store, _ = sweep
    outputs = folder.parent.parent
    before = (folder / "report.html").stat().st_mtime_ns
    asked(monkeypatch, f"sweep={name}", f"outputs_dir={outputs}")
    assert (folder / "report.html").stat().st_mtime_ns > before
    shown = " ".join(capsys.readouterr().out.split())
    assert "By validation accuracy model=cnn_batch optimizer.lr=0.1 is the best" in shown
    assert f"{folder}/report.html" in shown
    (parent,) = store.client.search_runs([store.experiment_id], "tags.kind = 'sweep'")
    assert "model=cnn\\_batch" in parent.data.tags["mlflow.note.content"]


def test_runs_of_an_experiment_are_summed_up_like_their_sweep(sweep, monkeypatch):
    folder, _, _ = sweep
    outputs = folder.parent.parent
    asked(monkeypatch, "experiment=image-classification", f"outputs_dir={outputs}")
    (made,) = outputs.glob("reports/*/report.json")
    data, expected = json.loads(made.read_text()), json.loads((folder / "report.json").read_text())
    assert data["question"]["factors"] == expected["question"]["factors"]
    assert data["effects"] == expected["effects"]
    assert data["answer"] == expected["answer"]
    assert {c["id"] for c in data["cells"]} == {c["id"] for c in expected["cells"]}
    assert (data["sweep"], data["command"]) == (None, None)


CONDITION = "params.model = 'cnn' and params.seed != '1'"


def test_a_filter_selects_runs(sweep):
    folder, store, _ = sweep
    made = folder.parent / "filtered"
    summary = report.write_report_of_runs(made, store, CONDITION, folder.parent).summary
    assert summary.question.factors == {"optimizer.lr": ("0.01", "0.1")}
    assert summary.question.replicates == {"seed": ("0", "2")}
    assert len(summary.cells) == 4


def test_of_a_cell_that_ran_twice_the_latest_finished_run_counts(tmp_path):
    store = store_in(tmp_path)
    cell = cell_of({"model": "cnn"})
    run_of(store, tmp_path / "first", cell, 0.5)
    latest = run_of(store, tmp_path / "second", cell, 0.6)
    run_of(store, tmp_path / "third", cell, "failed")
    (row,) = report.write_report_of_runs(tmp_path / "made", store, None, tmp_path).summary.cells
    assert (row.run_id, row.test_accuracy) == (latest, 0.6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give sweep=last, sweep=<id>, or experiment=<name>"),
        (["sweep=last", "experiment=e"], "give sweep=last, sweep=<id>, or experiment=<name>"),
        (["last"], "last: is not key=value"),
        (["sweep="], "sweep=: is not key=value"),
        (["swep=last"], "swep: there is no such key. Did you mean sweep?"),
        (["sweep=20260131-120000-00000001"], "Did you mean 20260131-120000-00000000?"),
        (["experiment=image-clasification"], "Did you mean image-classification?"),
        (["filter=params.model"], "filter = 'params.model': Invalid"),
        (["filter=params.model = 'x'"], "filter = \"params.model = 'x'\": no cell of experiment image-classification"),
    ],
)
def test_a_mistake_is_named_and_ends_with_exit_code_2(sweep, monkeypatch, capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        asked(monkeypatch, *arguments, f"outputs_dir={sweep[0].parent.parent}")
    assert ended.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("key", "message"), [("sweep=last", "there are no sweeps in"), ("experiment=e", "nothing was recorded there")]
)
def test_an_empty_place_is_named_and_nothing_is_made_there(tmp_path, monkeypatch, capsys, key, message):
    with pytest.raises(SystemExit):
        asked(monkeypatch, key, f"outputs_dir={tmp_path / 'outputs'}")
    said = " ".join(capsys.readouterr().err.split())
    assert message in said
    assert str(tmp_path / "outputs") in said
    assert not (tmp_path / "outputs").exists()


def test_it_runs_as_a_module(tmp_path):
    ended = warm.run("sweep=last", f"outputs_dir={tmp_path}", module="src.report")
    assert ended.returncode == 2
    assert ended.stderr.startswith("sweep = 'last': there are no sweeps in")
