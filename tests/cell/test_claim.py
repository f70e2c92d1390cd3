"""Machines that share a folder and know nothing of each other's locks: each attempt's claim ends the one before it."""

import pytest
from mlflow import MlflowClient

from image_sweeps.cell.cell import Cell
from image_sweeps.cell.claim import Claim, SupersededError
from image_sweeps.cell.folders import CellFile
from image_sweeps.cell.result import Result
from image_sweeps.cell.status import CellStatus
from image_sweeps.launch.finalize import finalize_dead_cell
from image_sweeps.tracking.delivery import deliver_all
from image_sweeps.tracking.journal import Journal
from tests.support import warm
from tests.support.saved_sweep import SILENT, Sweep
from tests.support.shared_folder import LOCAL_LOCKS, mounts
from tests.support.waiting import until

GROUP = "pool"

TAKEN_OVER = r"^{}: another attempt, of whichever machine, has taken it over$"


def test_a_claim_holds_until_another_comes(tmp_path):
    first = Claim.acquire(tmp_path / "cell")
    first.raise_if_superseded()
    second = Claim.acquire(tmp_path / "cell")
    second.raise_if_superseded()
    with pytest.raises(SupersededError, match=TAKEN_OVER.format("cell")):
        first.raise_if_superseded()


def test_nothing_is_recorded_after_another_has_come(tmp_path):
    claim = Claim.acquire(tmp_path / "cell")
    journal = Journal(claim.folder, claim.raise_if_superseded)
    (tmp_path / "cell" / "records").mkdir()
    journal.tags({"a": "1"})
    Claim.acquire(tmp_path / "cell")
    with pytest.raises(SupersededError):
        journal.tags({"a": "2"})
    assert [entry["tags"] for entry in journal.entries()] == [{"a": "1"}]


def test_a_cell_is_not_written_off_by_a_process_that_has_lost_its_sweep(tmp_path):
    sweep = Sweep(tmp_path, "lost", ["seed=0"])
    (folder,) = sweep.folders
    claim = Claim.acquire(folder.parent)
    Claim.acquire(folder.parent)
    with pytest.raises(SupersededError, match=TAKEN_OVER.format("lost")):
        finalize_dead_cell(Cell.load(folder), folder, CellStatus.FAILED, "left no result", claim)
    assert Result.load(folder) is None


def test_a_result_that_a_cell_has_left_is_not_written_off(tmp_path):
    sweep = Sweep(tmp_path, "late", ["seed=0"])
    (folder,) = sweep.folders
    Result(folder.name, "seed=0", CellStatus.FINISHED).save(folder)
    assert finalize_dead_cell(Cell.load(folder), folder, CellStatus.FAILED, "left no result", None).finished
    assert Result.load(folder).finished


# --- two machines -----------------------------------------------------------------------------------------------------


def on_a_machine(folder):
    """The process of a cell."""
    return warm.start(folder, module="tests.support.train_scheduled_cell")


def recorded(sweep):
    """How the only cell's run ended, and its accuracies with their steps, as the store has them."""
    (folder,) = sweep.folders
    deliver_all(folder.parent, sweep.store)
    run_id = Journal(folder).progress.run_id
    metrics = MlflowClient(sweep.store.uri).get_metric_history(run_id, "val/accuracy")
    ends = [entry["status"] for entry in Journal(folder).entries() if entry["do"] == "end"]
    return ends, [(metric.step, metric.value) for metric in metrics]


def test_a_machine_that_was_lost_sight_of_leaves_the_cell_to_the_one_that_has_it_now(tmp_path):
    overrides = ["seed=0", "epochs=60", "model.hidden=[8]", "tracking.offline=true"]
    contested, calm = Sweep(tmp_path / "shared", "contested", overrides), Sweep(tmp_path / "calm", "calm", overrides)
    for folder in (*contested.folders, *calm.folders):
        SILENT.save(folder)
    (folder,) = contested.folders
    with mounts(tmp_path / "shared", "a", "b", options=LOCAL_LOCKS) as views:
        lost, has_it = (view / folder.relative_to(tmp_path / "shared") for view in views)
        with on_a_machine(lost) as first:
            until((folder / CellFile.LAST).exists)
            with on_a_machine(has_it) as second:
                assert first.poll() is None
        assert (first.returncode, second.returncode) == (0, 0)
    with on_a_machine(*calm.folders) as alone:
        pass
    assert alone.returncode == 0

    assert Result.load(folder).finished
    ends, accuracies = recorded(contested)
    assert ends == ["FINISHED"]  # of the second: the first has left without a word
    assert [step for step, _ in accuracies] == list(range(1, 61))
    assert (ends, accuracies) == recorded(calm)
