"""Reports in MLflow, and what is read from there."""

from pathlib import Path
from shutil import rmtree
from urllib.parse import urlparse

import pytest

from image_sweeps.cell.result import Result
from image_sweeps.cell.saved_plan import SavedPlan
from image_sweeps.cell.status import CellStatus
from image_sweeps.report.description import MAX_LENGTH, description
from image_sweeps.report.publish import publish
from image_sweeps.report.records import of_sweep
from image_sweeps.report.write import write_report
from image_sweeps.tracking.delivery import deliver
from image_sweeps.tracking.journal import Journal
from tests.support.report_records import summary_of
from tests.support.untrained_sweeps import maker, run_of

FACTORS = {"model": ["cnn", "mlp"], "seed": ["0", "1"]}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Sweeps in one store, each with an id of its own: a store takes a second to make."""
    return maker(tmp_path_factory.mktemp("outputs"))


@pytest.fixture
def sweep(make):
    """A sweep of which one cell is still missing."""
    return make(FACTORS, lambda v: "not run" if v == {"model": "mlp", "seed": "1"} else 0.7 + 0.01 * int(v["seed"]))


def finish(folder, store, accuracy):
    cell = SavedPlan.load(folder).cells[-1]
    run_id = run_of(store, folder / cell.id, cell, accuracy, tags={"sweep": folder.name})
    Result(cell.id, cell.name, CellStatus.FINISHED, run_id=run_id).save(folder / cell.id)


def published(folder, store):
    """The id of the sweep's own run, once the report is in it."""
    return kept(folder, store, write_report(folder, store))


def kept(folder, store, report):
    publish(Journal(folder), report)
    deliver(Journal(folder), store)
    return Journal(folder).progress.run_id


def test_the_sweeps_own_run_has_the_report_and_the_best_values(sweep):
    folder, store = sweep
    report = write_report(folder, store)
    run = store.client.get_run(kept(folder, store, report))
    artifacts = Path(urlparse(run.info.artifact_uri).path)
    for path in report.files:
        assert (artifacts / path.name).read_bytes() == path.read_bytes()
    charts = {path.stem: path.read_text() for path in (artifacts / "figures").iterdir()}
    assert set(charts) == set(report.charts)
    assert all("var(" not in svg and "background: white" in svg for svg in charts.values())
    assert run.data.metrics == {"best/val_accuracy": pytest.approx(0.705), "test/accuracy": pytest.approx(0.705)}
    assert "| model=cnn ★ | 2 | 70.5% | " in run.data.tags["mlflow.note.content"]


def test_publishing_again_leaves_one_record_of_what_has_not_changed(sweep):
    folder, store = sweep
    for _ in range(3):
        parent = published(folder, store)
    for key in ("best/val_accuracy", "test/accuracy"):
        assert len(store.client.get_metric_history(parent, key)) == 1


def test_of_values_that_have_changed_the_newest_counts_at_the_same_step(sweep):
    folder, store = sweep
    published(folder, store)
    finish(folder, store, 0.9)
    parent = published(folder, store)
    assert store.client.get_run(parent).data.metrics["test/accuracy"] == pytest.approx(0.8)
    history = store.client.get_metric_history(parent, "test/accuracy")
    assert [metric.step for metric in history] == [0, 0]


def test_without_a_finished_cell_there_is_a_description_and_no_metric(make):
    folder, store = make(FACTORS, lambda _: "failed")
    run = store.client.get_run(published(folder, store))
    assert run.data.metrics == {}
    assert run.data.tags["mlflow.note.content"].startswith("There is no answer yet")


def test_cells_without_a_result_are_known_by_their_runs(make):
    """Of a killed sweep: one run was still open, one had ended without its result being written."""
    folder, store = make({"seed": ["0", "1", "2"]}, lambda v: {"0": "running", "1": "failed"}.get(v["seed"], 0.7))
    for cell in SavedPlan.load(folder).cells:
        Result.remove(folder / cell.id)
    subject, journals = of_sweep(store, folder)
    assert [cell.status for cell in subject.cells] == ["running", "failed", "finished"]
    assert set(journals) == {cell.run_id for cell in subject.cells}


def test_a_level_that_an_arm_does_not_mention_is_looked_up(sweep):
    folder, store = sweep
    plan = SavedPlan.load(folder)
    plan.factors["epochs"] = ["8", "16"]
    plan.factors["optimizer"] = ["sgd", "adam"]
    plan.save(folder)
    subject, _ = of_sweep(store, folder)
    assert subject.cells[0].levels == {"model": "cnn", "seed": "0", "epochs": "4", "optimizer": "sgd"}
    assert subject.factors["epochs"] == ["8", "16", "4"]


def test_files_that_are_gone_leave_their_part_out(sweep):
    folder, store = sweep
    subject, journals = of_sweep(store, folder)
    for run_id in journals:
        for path in Path(urlparse(store.client.get_run(run_id).info.artifact_uri).path).iterdir():
            path.unlink()
    report = write_report(folder, store)
    assert report.summary.best.confusion is None
    assert report.summary.comparisons == []
    assert any(name.startswith("learning") for name in report.charts)  # the journals have the epochs
    for cell in subject.cells:
        rmtree(folder / cell.id / "records", ignore_errors=True)
    assert not any(name.startswith("learning") for name in write_report(folder, store).charts)


def test_a_sweep_has_its_report_where_the_store_has_none_of_its_runs(sweep):
    folder, store = sweep
    before = write_report(folder, store).summary
    for cell in before.cells:
        if cell.run_id:
            store.client.delete_run(cell.run_id)
    after = write_report(folder, store).summary
    assert [cell.test_accuracy for cell in after.cells] == [cell.test_accuracy for cell in before.cells]
    assert after.counts == before.counts


def test_a_description_is_no_longer_than_mlflow_keeps():
    factors = {"model": [f"model_{i}" for i in range(100)], "activation": ["relu", "tanh"]}
    summary = summary_of(factors, lambda v: 0.5 + int(v["model"][6:]) / 1000)
    text = description(summary)
    assert 0.9 * MAX_LENGTH < len(text) <= MAX_LENGTH
    assert "configurations more" in text
    assert "model=model\\_99 activation=relu ★" in text


def test_a_description_says_what_markdown_would_take_for_itself():
    (row,) = (
        line
        for line in description(summary_of({"dataset.path": ["a|b*<i>"]}, lambda _: 0.5)).splitlines()
        if line.startswith("| dataset")
    )
    assert "dataset.path=a\\|b\\*&lt;i>" in row
