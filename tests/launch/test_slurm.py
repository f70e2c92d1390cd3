"""Sweeps on a real SLURM: munged, slurmctld and two slurmd on this host.

A job starts a Python of its own and imports torch and mlflow, which takes six seconds of a core: no cell is trained
here that shows nothing more.
"""

import os
import shutil
import signal
import socket
from contextlib import suppress

import pytest

from tests.support.held_cells import waits_for
from tests.support.slurm_cluster import until
from tests.support.slurm_sweeps import FOREVER, Sweep, ctrl_c, ended

GROUP = "slurm"

LONG = "epochs=60"

pytestmark = pytest.mark.timeout(240)  # a job starts in seconds, and where the cores are busy in many more


@pytest.fixture(scope="module")
def swept(slurm, tmp_path_factory):
    """A sweep in which a cell diverges, and does so again, on SLURM and in the pool."""
    done = {}
    for launcher in ("slurm", "pool"):
        sweep = Sweep(tmp_path_factory.mktemp(launcher), slurm.environment)
        done[launcher] = (sweep, *sweep.run("epochs=3", "optimizer.lr=0.1,1e30", "retries=1", launcher=launcher))
        sweep.close()
    return done


def test_the_cells_are_one_array_whose_numbers_are_those_of_the_pool(swept):
    sweep, code, _, _ = swept["slurm"]
    pool, *_ = swept["pool"]
    assert code == 1
    assert len(sweep.arrays()[0]) == 2
    assert len(sweep.histories()) == 2
    assert sweep.histories() == pool.histories()


def test_a_cell_that_fails_is_told_with_its_reason_and_the_other_finishes(swept):
    sweep, _, out, err = swept["slurm"]
    statuses = {name: result["status"] for name, result in sweep.results().items()}
    assert statuses == {"optimizer.lr=0.1": "finished", "optimizer.lr=1e+30": "failed"}
    assert "optimizer.lr=1e+30 failed. NonFiniteLossError: the training loss became nan in epoch 1" in err
    assert "Traceback" not in err
    lines = [line for line in out.splitlines() if line.startswith("[")]
    assert [line.split()[0] for line in lines] == ["[1/2]", "[2/2]", "[1/1]"]


def test_a_cell_that_failed_is_tried_again_in_an_array_of_its_own(swept):
    sweep, _, _, err = swept["slurm"]
    first, second = sweep.arrays()
    assert (len(first), len(second)) == (2, 1)
    assert sweep.turns(*second) == ["begin", "end", "go on", "end"]
    assert err.count("NonFiniteLossError") == 2


def task(sweep, slurm, index, number=1):
    """What SLURM calls a task of the sweep's array of this number."""
    (folder,) = sweep.outputs.glob("sweeps/*/slurm")
    name = f"{folder.parent.name}.{number}"
    array = slurm.run("squeue", "--noheader", "--states=all", f"--name={name}", "--format=%F").split()[0]
    return f"{array}_{index}"


def test_a_device_is_one_of_the_node_which_says_so_where_it_has_none(sweep):
    code, _, err = sweep.run("device=cuda", "seed=0")
    (result,) = sweep.results().values()
    assert (code, result["status"]) == (1, "failed")
    assert result["reason"].startswith(f"{socket.gethostname()} cannot run it: device = 'cuda': this machine has cpu;")
    assert result["reason"] in err


def test_cells_that_are_killed_or_cancelled_fail_alone_with_the_reason(sweep, slurm):
    process = sweep.start("epochs=1000000,1000001,2")
    sweep.wait_for("*/*/last.pt", 2, process)
    killed, cancelled = (task(sweep, slurm, index) for index in (0, 1))
    slurm.run("scancel", "--batch", "--signal=KILL", killed)
    slurm.run("scancel", cancelled)
    code, _, err = ended(process)
    assert code == 1
    results = sweep.results()
    statuses = {"epochs=1000000": "failed", "epochs=1000001": "failed", "epochs=2": "finished"}
    assert {name: result["status"] for name, result in results.items()} == statuses
    assert results["epochs=1000000"]["reason"].startswith(f"killed by SIGKILL (SLURM job {killed} on n")
    reason = results["epochs=1000001"]["reason"]
    assert reason.startswith(f"it was cancelled in SLURM's queue (SLURM job {cancelled} on n")
    assert "CANCELLED); interrupted after epoch" in reason
    assert "epochs=1000000 failed. killed by SIGKILL" in err
    assert sorted(status for _, status, _ in sweep.histories()) == ["FAILED", "FINISHED", "KILLED"]


def test_a_cell_that_takes_more_memory_than_it_was_given_fails_and_says_so(sweep):
    code, _, err = sweep.run("epochs=1", "hydra.launcher.mem_gb=0.1")
    assert code == 1
    (result,) = sweep.results().values()
    assert "it took more memory than it was given" in result["reason"]
    assert "OUT_OF_MEMORY); hydra.launcher.mem_gb gives it more" in result["reason"]
    assert result["reason"] in err


@pytest.mark.soak
def test_a_cell_that_reaches_its_time_limit_and_is_not_to_be_put_back_fails_and_keeps_its_epochs(sweep, slurm):
    """SLURM looks after time limits every 30 s, and the shortest is a minute: what it says is told in words, and a cell
    that it ends keeps its epochs, is shown above and in test_slurm_options without waiting for that.
    """
    process = sweep.start("epochs=1000000,2", "hydra.launcher.timeout_min=1", "hydra.launcher.requeue=false")
    sweep.wait_for("*/*/last.pt", 1, process)
    slurm.run("scancel", "--batch", "--signal=STOP", task(sweep, slurm, 0))  # until SLURM wakes it to tell it to end
    code, _, err = ended(process)
    assert code == 1
    results = sweep.results()
    assert results["epochs=2"]["status"] == "finished"
    assert results["epochs=1000000"]["status"] == "failed"
    assert results["epochs=1000000"]["reason"].startswith("it took longer than its time limit (SLURM job ")
    assert "TIMEOUT); hydra.launcher.timeout_min gives it more" in err
    sweep.wait_for(f"*/{results['epochs=1000000']['cell']}/last.pt")


@pytest.fixture(scope="module")
def undisturbed(slurm, tmp_path_factory):
    """What is recorded of a sweep that nobody disturbs."""
    sweep = Sweep(tmp_path_factory.mktemp("undisturbed"), slurm.environment)
    code, _, err = sweep.run(LONG, "seed=0,1", launcher="pool")
    sweep.close()
    assert code == 0, err
    return sweep.histories()


def ask_to_make_room(sweep, slurm, pids):
    """As SLURM does it before a time limit. The number of the last task is that of the whole array."""
    slurm.run("scancel", "--batch", "--signal=USR2", task(sweep, slurm, 1))
    until(lambda: any(waits_for(signal.SIGUSR2, pid) for pid in pids), "SIGUSR2")


def requeue(sweep, slurm, pids):
    slurm.run("scontrol", "requeue", task(sweep, slurm, 0))


def preempt(sweep, slurm, pids):
    slurm.run("sbatch", "--partition=urgent", "--nodelist=n1", "--output=/dev/null", "--wrap=true")
    until(lambda: any(line != "RUNNING" for line in slurm.queue("--partition=main", fields="%T")), "pre-emption")


def lose_node(sweep, slurm, pids):
    node = slurm.run("squeue", "--noheader", f"--jobs={task(sweep, slurm, 0)}", "--format=%N").strip()
    slurm.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    with suppress(AssertionError):  # where it has come back by itself meanwhile
        slurm.run("scontrol", "update", f"nodename={node}", "state=resume")
    (cells,) = sweep.arrays()
    until(lambda: "go on" in sweep.turns(cells[0]), "another attempt", deadline_s=120)


@pytest.mark.parametrize(
    "disturb",
    [
        ask_to_make_room,
        lose_node,
        pytest.param(requeue, marks=pytest.mark.soak),
        pytest.param(preempt, marks=pytest.mark.soak),
    ],
)
def test_a_cell_that_is_put_back_into_the_queue_goes_on_bit_for_bit(sweep, slurm, undisturbed, disturb):
    """The cell puts itself back, or SLURM does, which has lost it without a word; other ways to the same are soak."""
    process = sweep.start(LONG, "seed=0,1")
    with sweep.held(2, process) as pids:
        disturb(sweep, slurm, pids)
    code, _, err = ended(process)
    assert (code, err) == (0, "")
    assert sweep.histories() == undisturbed
    (cells,) = sweep.arrays()
    turns = sorted(sweep.turns(cell) for cell in cells)
    assert turns[0] == ["begin", "end"]
    assert turns[1] in (["begin", "end", "go on", "end"], ["begin", "go on", "end"])


def test_a_resumed_sweep_finds_its_cells_in_the_queue_and_starts_what_is_missing(sweep, slurm, undisturbed):
    process = sweep.start(LONG, "seed=0")
    with sweep.held(1, process):
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    code, _, err = sweep.run(LONG, "seed=0,1", "resume=last")
    assert (code, err) == (0, "")
    first, second = sweep.arrays()
    assert (len(first), len(second)) == (1, 1)
    assert [sweep.turns(cell) for cell in (*first, *second)] == [["begin", "end"]] * 2
    assert sweep.histories() == undisturbed


def test_cells_that_slurm_does_not_take_in_the_end_are_told_and_can_be_resumed(sweep, slurm, tmp_path_factory):
    stand_in = tmp_path_factory.mktemp("bin") / "sbatch"
    stand_in.write_text(f"""#!/bin/sh
case "$*" in *--test-only*) exec {shutil.which("sbatch")} "$@";; esac
echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2
exit 1
""")
    stand_in.chmod(0o755)
    sweep.environment = {**slurm.environment, "PATH": f"{stand_in.parent}:{os.environ['PATH']}"}
    code, out, err = sweep.run("epochs=1", "seed=0,1")
    assert code == 1
    assert "SLURM did not take the cells: sbatch: error: QOSMaxSubmitJobPerUserLimit" in err
    assert "Traceback" not in err
    assert "2 not finished: the same command with resume=" in out
    code, out, err = sweep.run("epochs=1", "seed=0,1", "resume=last", launcher="pool")
    assert (code, err) == (0, "")
    assert "2 cells: 2 to run" in out


def test_one_ctrl_c_keeps_the_epochs_and_takes_back_what_waits_and_the_rest_can_be_resumed(sweep, slurm):
    overrides = (LONG, "seed=range(3)")
    process = sweep.start(*overrides)
    with sweep.held(2, process) as pids:
        ctrl_c(process)
        until(lambda: all(waits_for(signal.SIGINT, pid) for pid in pids), "SIGINT")
    code, out, err = ended(process)
    assert code == 128 + signal.SIGINT
    assert "SIGINT: the running cells finish their epoch and are kept" in err
    assert "3 not finished: the same command with resume=" in out
    assert [result["status"] for result in sweep.results().values()] == ["interrupted"] * 2
    assert slurm.queue() == []
    code, out, err = sweep.run(*overrides, "resume=last", launcher="pool")
    assert (code, err) == (0, "")
    assert "3 cells: 2 to continue, 1 to run" in out
    assert [history[1] for history in sweep.histories()] == ["FINISHED"] * 3


@pytest.mark.soak
def test_two_ctrl_c_leave_nothing_in_the_queue(sweep, slurm):
    """As a process does that has this engine, in test_slurm_queue."""
    process = sweep.start(FOREVER, "seed=range(3)")
    deaf = [path.parent for path in sweep.wait_for("*/*/last.pt", 2, process)]
    for index in (0, 1):
        slurm.run("scancel", "--batch", "--signal=STOP", task(sweep, slurm, index))
    ctrl_c(process)
    assert "SIGINT" in process.stderr.readline()
    ctrl_c(process)
    code, _, _ = ended(process)
    assert code == 128 + signal.SIGINT
    until(lambda: slurm.queue() == [], "an empty queue")
    assert [result["reason"] for result in sweep.results().values()] == ["interrupted at once"] * 2
    assert {path.name for path in deaf} == {result["cell"] for result in sweep.results().values()}


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("partition=nope", "SLURM does not take such jobs: sbatch: error: invalid partition specified: nope"),
        ("gpus_per_node=1", "SLURM does not take such jobs: sbatch: error: Invalid generic resource"),
        ("mem_gb=5", "Requested node configuration is not available"),
        ("cpus_per_task=0", "hydra.launcher.cpus_per_task = 0: must be greater than 0"),
    ],
)
def test_what_slurm_would_not_take_is_refused_before_anything_runs(sweep, option, problem):
    (sweep.outputs / "mlflow.db").unlink()
    code, _, err = sweep.run("seed=0,1", f"hydra.launcher.{option}")
    assert code == 2
    assert problem in err
    assert "nothing was run" in err
    assert "Traceback" not in err
    assert not list(sweep.outputs.iterdir())
