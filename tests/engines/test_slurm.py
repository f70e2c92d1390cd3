"""Sweeps on a real SLURM: munged, slurmctld and two slurmd on this host."""

import os
import shutil
import signal
import socket
from contextlib import suppress

import pytest

from src.compose import hydra_at
from src.sweep.engines.slurm import queue
from src.sweep.engines.slurm.arrays import arrays
from src.sweep.engines.slurm.engine import Slurm
from src.sweep.engines.slurm.options import SlurmOptions
from src.sweep.plan import plan
from src.sweep.remote import Over, Running, Waiting
from tests.engines.conftest import FOREVER, TINY, Sweep, ctrl_c, ended
from tests.engines.slurm.cluster import until
from tests.engines.test_slurm_options import DEFAULTS


@pytest.fixture(scope="module")
def swept(slurm, tmp_path_factory):
    """A sweep in which a cell diverges, on SLURM and in the pool."""
    done = {}
    for launcher in ("slurm", "pool"):
        sweep = Sweep(tmp_path_factory.mktemp(launcher), slurm.environment)
        done[launcher] = (sweep, *sweep.run("epochs=3", "optimizer.lr=0.1,1e30", "seed=0,1", launcher=launcher))
    return done


def test_the_cells_are_one_array_whose_numbers_are_those_of_the_pool(swept):
    sweep, code, _, _ = swept["slurm"]
    pool, *_ = swept["pool"]
    assert code == 1
    (cells,) = sweep.arrays()
    assert len(cells) == 4
    assert len(sweep.histories()) == 4
    assert sweep.histories() == pool.histories()


def test_a_cell_that_fails_is_told_with_its_reason_and_the_others_finish(swept):
    sweep, _, out, err = swept["slurm"]
    statuses = {name: result["status"] for name, result in sweep.results().items()}
    assert sorted(statuses.values()) == ["failed", "failed", "finished", "finished"]
    assert statuses["optimizer.lr=0.1 seed=0"] == "finished"
    assert "optimizer.lr=1e+30 seed=0 failed. NonFiniteLossError: the training loss became nan in epoch 1" in err
    assert "Traceback" not in err
    lines = [line for line in out.splitlines() if line.startswith("[")]
    assert [line.split()[0] for line in lines] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]


def task(sweep, slurm, index, number=1):
    """What SLURM calls a task of the sweep's array of this number."""
    (folder,) = sweep.outputs.glob("sweeps/*/slurm")
    name = f"{folder.parent.name}.{number}"
    array = slurm.run("squeue", "--noheader", "--states=all", f"--name={name}", "--format=%F").split()[0]
    return f"{array}_{index}"


def test_both_nodes_work_at_a_time_unless_the_parallelism_is_limited(sweep, slurm):
    process = sweep.start(FOREVER, "seed=range(3)")
    sweep.wait_for("*/*/last.pt", 2, process)
    assert sorted(slurm.queue(fields="%T %N")) == ["PENDING ", "RUNNING n1", "RUNNING n2"]
    slurm.clear()
    assert ended(process)[0] == 1
    process = sweep.start(FOREVER, "seed=range(3)", "hydra.launcher.array_parallelism=1")
    sweep.wait_for("*/*/last.pt", 3, process)
    assert [line.split()[0] for line in sorted(slurm.queue(fields="%T %N"))] == ["PENDING", "PENDING", "RUNNING"]
    slurm.clear()
    ended(process)


def test_a_device_is_one_of_the_node_which_says_so_where_it_has_none(sweep):
    code, _, err = sweep.run("device=cuda", "seed=0")
    (result,) = sweep.results().values()
    assert (code, result["status"]) == (1, "failed")
    assert result["reason"].startswith(f"{socket.gethostname()} cannot run it: device = 'cuda': this machine has cpu;")
    assert result["reason"] in err


def test_cells_that_are_killed_or_cancelled_fail_alone_with_the_reason(sweep, slurm):
    process = sweep.start("epochs=1000000,2", "seed=0,1")
    sweep.wait_for("*/*/last.pt", 2, process)
    killed, cancelled = (task(sweep, slurm, index) for index in (0, 1))
    slurm.run("scancel", "--batch", "--signal=KILL", killed)
    slurm.run("scancel", cancelled)
    code, _, err = ended(process)
    assert code == 1
    results = sweep.results()
    assert {name: result["status"] for name, result in results.items()} == {
        "epochs=1000000 seed=0": "failed",
        "epochs=1000000 seed=1": "failed",
        "epochs=2 seed=0": "finished",
        "epochs=2 seed=1": "finished",
    }
    assert results["epochs=1000000 seed=0"]["reason"].startswith(f"killed by SIGKILL (SLURM job {killed} on n")
    reason = results["epochs=1000000 seed=1"]["reason"]
    assert reason.startswith(f"it was cancelled in SLURM's queue (SLURM job {cancelled} on n")
    assert "CANCELLED); interrupted after epoch" in reason
    assert "epochs=1000000 seed=0 failed. killed by SIGKILL" in err
    assert sorted(run.info.status for run in sweep.runs()) == ["FAILED", "FINISHED", "FINISHED", "KILLED"]


def test_a_cell_that_takes_more_memory_than_it_was_given_fails_and_says_so(sweep):
    code, _, err = sweep.run("epochs=1", "hydra.launcher.mem_gb=0.1")
    assert code == 1
    (result,) = sweep.results().values()
    assert "it took more memory than it was given" in result["reason"]
    assert "OUT_OF_MEMORY); hydra.launcher.mem_gb gives it more" in result["reason"]
    assert result["reason"] in err


def test_a_cell_that_reaches_its_time_limit_and_is_not_to_be_put_back_fails_and_keeps_its_epochs(sweep, slurm):
    """SLURM looks after time limits every 30 s, and the shortest is a minute."""
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
    code, _, err = sweep.run("epochs=300", "seed=0,1", launcher="pool")
    assert code == 0, err
    return sweep.histories()


def ask_to_make_room(sweep, slurm):
    """As SLURM does it before a time limit. The number of the last task is that of the whole array."""
    slurm.run("scancel", "--batch", "--signal=USR2", task(sweep, slurm, 1))


def requeue(sweep, slurm):
    slurm.run("scontrol", "requeue", task(sweep, slurm, 0))


def preempt(sweep, slurm):
    slurm.run("sbatch", "--partition=urgent", "--nodelist=n1", "--output=/dev/null", "--wrap=true")


def lose_node(sweep, slurm):
    node = slurm.run("squeue", "--noheader", f"--jobs={task(sweep, slurm, 0)}", "--format=%N").strip()
    slurm.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    with suppress(AssertionError):  # where it has come back by itself meanwhile
        slurm.run("scontrol", "update", f"nodename={node}", "state=resume")


@pytest.mark.parametrize("disturb", [ask_to_make_room, requeue, preempt, lose_node])
def test_a_cell_that_is_put_back_into_the_queue_goes_on_bit_for_bit(sweep, slurm, undisturbed, disturb):
    process = sweep.start("epochs=300", "seed=0,1")
    sweep.wait_for("*/*/last.pt", 2, process)
    disturb(sweep, slurm)
    code, _, err = ended(process)
    assert (code, err) == (0, "")
    assert sweep.histories() == undisturbed
    (cells,) = sweep.arrays()
    turns = sorted(sweep.turns(cell) for cell in cells)
    assert turns[0] == ["begin", "end"]
    assert turns[1] in (["begin", "end", "go on", "end"], ["begin", "go on", "end"])


def test_a_resumed_sweep_finds_its_cells_in_the_queue_and_starts_what_is_missing(sweep, slurm, undisturbed):
    process = sweep.start("epochs=300", "seed=0,1")
    sweep.wait_for("*/*/last.pt", 2, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    code, _, err = sweep.run("epochs=300", "seed=0,1,2", "resume=last")
    assert (code, err) == (0, "")
    first, second = sweep.arrays()
    assert len(first) == 2
    assert len(second) == 1
    assert [sweep.turns(cell) for cell in (*first, *second)] == [["begin", "end"]] * 3
    assert [history for history in sweep.histories() if history[0] in first] == undisturbed


def test_a_cell_that_failed_is_tried_again_in_an_array_of_its_own(sweep):
    code, _, err = sweep.run("epochs=2", "optimizer.lr=0.1,1e30", "retries=1")
    assert code == 1
    first, second = sweep.arrays()
    assert (len(first), len(second)) == (2, 1)
    assert sweep.turns(*second) == ["begin", "end", "go on", "end"]
    assert err.count("NonFiniteLossError") == 2


def test_cells_that_slurm_does_not_take_in_the_end_are_told_and_can_be_resumed(sweep, slurm, tmp_path_factory):
    stand_in = tmp_path_factory.mktemp("bin") / "sbatch"
    stand_in.write_text(f"""#!/bin/sh
case "$*" in *--test-only*) exec {shutil.which("sbatch")} "$@";; esac
echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2
exit 1
""")
    stand_in.chmod(0o755)
    path = os.environ["PATH"]
    sweep.environment = {**slurm.environment, "PATH": f"{stand_in.parent}:{path}"}
    code, out, err = sweep.run("epochs=1", "seed=0,1")
    assert code == 1
    assert "SLURM did not take the cells: sbatch: error: QOSMaxSubmitJobPerUserLimit" in err
    assert "Traceback" not in err
    assert "2 not finished: the same command with resume=" in out
    sweep.environment = slurm.environment
    code, out, err = sweep.run("epochs=1", "seed=0,1", "resume=last")
    assert (code, err) == (0, "")
    assert "2 cells: 2 to run" in out


def test_one_ctrl_c_keeps_the_epochs_and_takes_back_what_waits_and_the_rest_can_be_resumed(sweep, slurm):
    overrides = ("epochs=200", "seed=range(3)")
    process = sweep.start(*overrides)
    sweep.wait_for("*/*/last.pt", 2, process)
    ctrl_c(process)
    code, out, err = ended(process)
    assert code == 128 + signal.SIGINT
    assert "SIGINT: the running cells finish their epoch and are kept" in err
    assert "3 not finished: the same command with resume=" in out
    assert [result["status"] for result in sweep.results().values()] == ["interrupted"] * 2
    assert slurm.queue() == []
    code, out, err = sweep.run(*overrides, "resume=last")
    assert (code, err) == (0, "")
    assert "3 cells: 2 to continue, 1 to run" in out
    assert [history[1] for history in sweep.histories()] == ["FINISHED"] * 3


def test_two_ctrl_c_leave_nothing_in_the_queue(sweep, slurm):
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
    code, _, err = sweep.run("seed=0,1", f"hydra.launcher.{option}")
    assert code == 2
    assert problem in err
    assert "nothing was run" in err
    assert "Traceback" not in err
    assert not list(sweep.outputs.iterdir())


# --- the engine by itself, where nothing runs -------------------------------------------------------------------------


@pytest.fixture
def closed(slurm, monkeypatch):
    """The cluster takes jobs, and starts none."""
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    slurm.run("scontrol", "update", "partitionname=main", "state=down")
    yield slurm
    slurm.clear()
    slurm.run("scontrol", "update", "partitionname=main", "state=up")


def frozen(folder, *overrides):
    """The folders of cells."""
    with hydra_at():
        cells = plan([f"outputs_dir={folder}", *TINY, *overrides]).cells
    sweep = folder / "sweeps" / folder.name  # each test's own: SLURM remembers for minutes what was called alike
    folders = [sweep / cell.id for cell in cells]
    for cell, place in zip(cells, folders, strict=True):
        cell.freeze(place)
    return folders


def engine(**changes):
    return Slurm(SlurmOptions.checked(DEFAULTS | {"poll_s": 0.01} | changes))


def test_more_cells_than_an_array_may_have_are_several(closed, tmp_path):
    folders = frozen(tmp_path, "seed=range(9)")
    engine().start(folders)
    assert sorted(closed.queue(fields="%j %K")) == sorted(
        [*(f"{tmp_path.name}.1 {index}" for index in range(7)), f"{tmp_path.name}.2 0", f"{tmp_path.name}.2 1"]
    )


def test_what_is_queued_is_found_by_another_process_and_not_queued_again(closed, tmp_path):
    folders = frozen(tmp_path, "seed=range(4)")
    engine().start(folders[:3])
    another = engine()
    another.start(folders)
    assert [another.state(folder) for folder in folders] == [Waiting()] * 4
    assert len(closed.queue()) == 4
    assert [array.cells for array in arrays(folders[0].parent)] == [
        tuple(folder.name for folder in folders[:3]),
        (folders[3].name,),
    ]


def test_what_the_same_process_hands_over_again_is_over_and_queued_again(closed, tmp_path):
    (folder,) = frozen(tmp_path, "seed=0")
    made = engine()
    made.start([folder])
    made.start([folder])
    assert sorted(closed.queue(fields="%j")) == [f"{tmp_path.name}.1", f"{tmp_path.name}.2"]
    assert [array.cells for array in arrays(folder.parent)] == [(folder.name,)] * 2


def test_where_slurm_takes_only_some_of_the_cells_it_keeps_none(closed, tmp_path, monkeypatch):
    really = queue._run
    taken = []

    def full(*command, text=""):
        if command[0] == "sbatch" and taken:
            raise queue.SlurmError("QOSMaxSubmitJobPerUserLimit")
        if command[0] == "sbatch":
            taken.append(command)
        return really(*command, text=text)

    monkeypatch.setattr(queue, "_run", full)
    with pytest.raises(queue.SlurmError, match="QOSMaxSubmitJobPerUserLimit"):
        engine().start(frozen(tmp_path, "seed=range(9)"))
    assert taken
    until(lambda: closed.queue() == [], "an empty queue")


def test_an_array_that_was_planned_and_not_queued_is_queued_by_the_next_process(closed, tmp_path, monkeypatch):
    (folder,) = frozen(tmp_path, "seed=0")

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(queue, "submit", die)
        with pytest.raises(KeyboardInterrupt):
            engine().start([folder])
    assert closed.queue() == []
    another = engine()
    another.start([folder])
    assert another.state(folder) == Waiting()
    assert len(closed.queue()) == 1


def test_an_array_that_slurm_took_without_saying_so_is_not_queued_again(closed, tmp_path, monkeypatch):
    folders = frozen(tmp_path, "seed=0,1")
    really = queue._run

    def busy(*command, text=""):
        told = really(*command, text=text)
        if command[0] == "sbatch":
            raise queue.SlurmError("Socket timed out on send/recv operation")
        return told

    monkeypatch.setattr(queue, "_run", busy)
    made = engine()
    made.start(folders)
    assert [made.state(folder) for folder in folders] == [Waiting()] * 2
    assert len(closed.queue()) == 2


def test_what_waits_is_taken_back(closed, tmp_path):
    folders = frozen(tmp_path, "seed=0,1")
    made = engine()
    made.start(folders)
    made.stop(folders[0])
    made.close()
    until(lambda: isinstance(made.state(folders[0]), Over), "it to be taken back")
    assert made.state(folders[0]).reason.startswith("it left SLURM's queue")
    assert made.state(folders[1]) == Waiting()


def test_an_array_that_is_cancelled_as_a_whole_while_it_waits_is_told_of_each_cell(closed, tmp_path):
    folders = frozen(tmp_path, "seed=0,1")
    made = engine()
    made.start(folders)
    closed.run("scancel", "--user=root")
    for folder in folders:
        until(lambda folder=folder: isinstance(made.state(folder), Over), "its end")
        assert made.state(folder).reason.startswith("it was cancelled in SLURM's queue")


def test_a_controller_that_does_not_answer_changes_nothing_and_is_told_once(closed, tmp_path, monkeypatch, caplog):
    (folder,) = frozen(tmp_path, "seed=0")
    made = engine()
    made.start([folder])
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\necho Unable to contact slurm controller >&2; exit 1\n")
    squeue.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        for _ in range(2):
            made.looked_at = None
            assert made.state(folder) == Waiting()
    (message,) = [record.getMessage() for record in caplog.records]
    assert message == "SLURM does not answer; its jobs go on meanwhile. Unable to contact slurm controller"


def test_a_job_that_slurm_holds_back_is_told(closed, tmp_path, caplog):
    (folder,) = frozen(tmp_path, "seed=0")
    made = engine()
    made.start([folder])
    (job,) = closed.queue(fields="%F_%K")
    closed.run("scontrol", "hold", job)
    made.looked_at = None
    assert made.state(folder) == Waiting()
    assert f"scontrol release {job} lets it go" in caplog.text


def test_a_node_that_does_not_see_the_folder_is_told_of(closed, tmp_path):
    (folder,) = frozen(tmp_path, "seed=0")
    made = engine()
    made.start([folder])
    folder.parent.rename(tmp_path / "elsewhere")
    closed.run("scontrol", "update", "partitionname=main", "state=up")
    until(lambda: isinstance(made.state(folder), Over), "its end")
    told = made.state(folder).reason
    assert told.startswith("SLURM could not start it (SLURM job ")
    assert told.endswith("has to see outputs_dir under the same name")


def test_a_cell_that_runs_is_where_slurm_says(slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    (folder,) = frozen(tmp_path, "seed=0")
    made = engine()
    monkeypatch.setattr(made, "_script", lambda array: "#!/bin/sh\nsleep 60\n")
    made.start([folder])
    state = until(lambda: isinstance(state := made.state(folder), Running) and state, "it to run")
    assert state.where in ("n1", "n2")
    made.kill(folder)
    until(lambda: isinstance(made.state(folder), Over), "its end")
    assert made.state(folder).reason.startswith(("killed by SIGKILL", "it was cancelled"))  # it is asked for both
