"""The pool, with real processes that really die."""

import json
import os
import pickle
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from image_sweeps.cell.result import Result
from image_sweeps.cell.status import CellStatus
from image_sweeps.system.interrupt import Interrupt
from image_sweeps.tracking.journal import Journal
from tests.support import faulty_work as faults
from tests.support.configurations import ROOT
from tests.support.saved_sweep import Sweep
from tests.support.waiting import until

GROUP = "pool"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """One store for all."""
    return tmp_path_factory.mktemp("pool")


@pytest.fixture
def sweep(outputs, request):
    """A frozen sweep of cells with these overrides."""
    return lambda *overrides: Sweep(outputs, request.node.name.replace("[", "-").strip("]"), overrides)


def gone(pid):
    return subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True).stdout.strip() in (b"", b"Z")


@pytest.fixture(scope="module")
def faulty(outputs):
    """A sweep in which every cell but the first and the last dies in its own way."""
    made = Sweep(outputs, "faulty", ["seed=0,1,2,3,4,5,6,7,8,9", "cell_timeout_s=4"])
    return made, made.run(faults.fail_by_seed, num_slots=3)


@pytest.mark.parametrize(
    ("seed", "reason"),
    [
        (1, "ValueError: not this one"),
        (2, "its process ended with exit code 3 and left no result"),
        (3, "its process ended with exit code 4 and left no result"),
        (4, "killed by SIGKILL, perhaps because memory ran out"),
        (5, "killed by SIGSEGV"),
        (6, "hung: not over after cell_timeout_s = 4, and killed"),
        (7, "hung: not over after cell_timeout_s = 4, and killed"),
        (8, "its process ended with exit code 0 and left no result"),
    ],
)
def test_a_cell_fails_alone_with_the_reason_in_its_folder_and_its_run(faulty, seed, reason):
    made, results = faulty
    result = results[f"seed={seed}"]
    assert (result.status, result.reason) == ("failed", reason)
    left = Result.load(made.folders[seed])
    assert (left.status, left.reason, left.run_id) == ("failed", reason, result.run_id)
    run = made.runs()[made.folders[seed].name]
    assert (run.info.status, run.data.tags["reason"], run.info.run_id) == ("FAILED", reason, result.run_id)


def test_the_other_cells_finish(faulty):
    _, results = faulty
    assert {name for name, result in results.items() if result.finished} == {"seed=0", "seed=9"}


def test_what_a_dead_process_wrote_is_shown_and_kept_with_its_run(faulty, tmp_path):
    made, _ = faulty
    assert made.listener.failures["seed=3"].splitlines()[1:] == [f"line {number}" for number in range(960, 1000)]
    run = made.runs()[made.folders[3].name]
    kept = made.store.client.download_artifacts(run.info.run_id, "output.log", str(tmp_path))
    assert Path(kept).read_text().splitlines() == [f"line {number}" for number in range(1000)]


def test_an_error_is_shown_once_with_its_traceback(faulty):
    made, _ = faulty
    text = made.listener.failures["seed=1"]
    assert text.startswith("Traceback")
    assert "raise ValueError" in text


def test_where_a_process_hangs_or_crashes_is_written_down(faulty):
    made, _ = faulty
    assert "Segmentation fault" in made.listener.failures["seed=5"]
    hanging = made.listener.failures["seed=6"]
    assert "hanging here" in hanging
    assert "in hang" in hanging


def test_as_many_cells_run_at_a_time_as_there_are_slots_and_no_more(sweep):
    made = sweep("seed=range(7)")
    made.run(partial(faults.overlap, num_slots=3), num_slots=3)
    spans = made.told("span")
    overlaps = [sum(s["started"] <= t["started"] <= s["ended"] for s in spans) for t in spans]
    assert max(overlaps) == 3


def test_a_slot_that_is_free_is_taken_at_once(sweep):
    made = sweep("seed=range(5)")
    results = made.run(faults.first_waits_for_all_others)
    assert all(result.finished for result in results.values())
    assert made.listener.ended[:3] == ["seed=1", "seed=2", "seed=3"]


def test_what_comes_after_the_cells_is_prepared_once_when_a_slot_stays_free(sweep):
    made, seen = sweep("seed=range(4)"), []

    def prepare():
        seen.append(len(made.listener.ended))
        (made.folders[0].parent / "prepared").touch()

    made.run(faults.first_waits_for_what_comes_after, when_idle=prepare)
    assert seen == [3]


def test_with_one_slot_nothing_is_prepared_while_cells_run(sweep):
    made, seen = sweep("seed=range(2)"), []
    made.run(faults.finish, num_slots=1, when_idle=lambda: seen.append(1))
    assert seen == []


def test_a_cell_has_as_many_threads_as_its_slot_says(sweep):
    made = sweep("seed=0")
    made.run(faults.tell_threads, num_threads=2)
    ((told),) = made.told("threads")
    assert (told["torch"], told["interop"]) == (2, 2)
    assert set(told["blas"]) == {2}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads of another process are seen in /proc")
def test_a_cell_is_born_with_its_imports_and_without_threads_or_cuda(sweep):
    made = sweep("seed=0")
    (result,) = made.run(faults.tell_start, gpu="7").values()
    assert result.finished
    ((told),) = made.told("facts")
    assert (told["server_threads"], told["cuda_started"], told["gpu"]) == (1, False, "7")
    assert told["said"] == "by Hydra"
    assert len(told["imported"]) < 20, told["imported"]
    assert not torch.cuda.is_initialized()


def test_after_a_failure_no_other_cell_starts_where_it_is_to_stop(sweep):
    made = sweep("seed=2,0,9", "on_failure=stop")
    assert list(made.run(faults.fail_by_seed, num_slots=1)) == ["seed=2"]
    assert [Result.load(folder) is None for folder in made.folders] == [False, True, True]


def test_the_outcome_of_an_earlier_attempt_is_not_taken_for_this_one(sweep):
    made = sweep("seed=4")
    Result("id", "seed=4", CellStatus.FAILED, "of yesterday").save(made.folders[0])
    (result,) = made.run(faults.fail_by_seed).values()
    assert "SIGKILL" in result.reason


def test_a_store_that_is_gone_stops_no_cell(sweep, tmp_path):
    made = sweep("seed=2,0", f"outputs_dir={tmp_path}")
    (tmp_path / "mlflow.db").write_text("this is no database any more")
    results = made.run(faults.fail_by_seed, num_slots=1)
    assert {name: result.status for name, result in results.items()} == {"seed=2": "failed", "seed=0": "finished"}
    dead = Journal(made.folders[0])
    assert [entry["do"] for entry in dead.entries()] == ["begin", "files", "end"]
    assert dead.num_pending == 3


def test_one_ctrl_c_lets_running_cells_keep_their_epoch_and_starts_no_other(sweep):
    made = sweep("seed=range(3)", "epochs=100000")
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        made.run(faults.interrupt_once)
    assert signal.getsignal(signal.SIGINT) is before
    outcomes = [Result.load(folder) for folder in made.folders]
    assert [outcome and outcome.status for outcome in outcomes] == ["interrupted", "interrupted", None]
    assert made.listener.notices[0].startswith("SIGINT: the running cells finish their epoch and are kept")
    for folder in made.folders[:2]:
        run = made.runs()[folder.name]
        history = made.store.client.get_metric_history(run.info.run_id, "val/loss")
        assert run.info.status == "KILLED"
        assert [metric.step for metric in history] == list(range(1, len(history) + 1))
        assert (folder / "last.pt").exists()


def test_a_ctrl_c_just_before_the_first_cell_is_heeded(sweep):
    made = sweep("seed=range(3)")
    with Interrupt.on_signals():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            made.run(faults.finish)
    assert [Result.load(folder) for folder in made.folders] == [None, None, None]


def test_a_second_ctrl_c_stops_them_at_once(sweep):
    made = sweep("seed=range(3)")
    with pytest.raises(KeyboardInterrupt):
        made.run(faults.interrupt_twice)
    for folder in made.folders[:2]:
        run = made.runs()[folder.name]
        outcome = Result.load(folder)
        assert (outcome.status, outcome.reason) == ("interrupted", "interrupted at once")
        assert (run.info.status, run.data.tags["reason"]) == ("KILLED", "interrupted at once")
        assert gone(json.loads((folder / "started").read_text())["pid"])
    assert Result.load(made.folders[2]) is None


def test_a_fork_server_that_was_killed_costs_the_cells_that_run_and_no_other(sweep):
    made = sweep("seed=range(3)")
    results = made.run(faults.kill_server, num_slots=1)
    assert [result.status for result in results.values()] == ["failed", "finished", "finished"]
    assert "or the fork server was killed" in results["seed=0"].reason
    assert gone(json.loads((made.folders[0] / "started").read_text())["pid"])


PARENT = """
import pickle, sys
from image_sweeps.launch.pool import Pool
from image_sweeps.launch.slots import Slot
from image_sweeps.cell.listener import CellListener
from tests.support.saved_sweep import SILENT
from tests.support import faulty_work as faults
if __name__ == "__main__":
    folders = pickle.loads(bytes.fromhex(sys.argv[1]))
    Pool([Slot("a", 1), Slot("b", 1)], lambda folder: SILENT, CellListener(), faults.run_forever).run(folders)
"""


@pytest.mark.soak
def test_nothing_is_left_running_where_the_parent_was_killed(sweep, tmp_path):
    """Of cells that do nothing; of those that train, `test_killed.py` shows it in `tests`."""
    made = sweep("seed=range(2)")
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    command = [sys.executable, str(script), pickle.dumps(made.folders).hex()]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    ) as parent:
        until(lambda: all((folder / "started").exists() for folder in made.folders))
        parent.kill()
    pids = {pid for told in made.told("started") for pid in told.values()}
    assert len(pids) == 3  # two cells and their server
    until(lambda: all(map(gone, pids)), "their end")


@pytest.mark.gpu
def test_cells_share_a_gpu(sweep):
    from image_sweeps.launch.attempt import run_attempt

    made = sweep("seed=range(4)", "device=cuda")
    results = made.run(run_attempt, num_slots=2, gpu="0")
    assert all(result.finished for result in results.values())
    assert not torch.cuda.is_initialized()
