"""The engine by itself on a real SLURM, where jobs are queued and none, or none but a `sleep`, runs."""

import os
import signal
import threading

import pytest

from image_sweeps.cell.result import Result
from image_sweeps.config.composition import hydra_at
from image_sweeps.launch.remote import Over, Remote, Running, Waiting
from image_sweeps.launch.slurm import queue
from image_sweeps.launch.slurm.arrays import arrays
from image_sweeps.launch.slurm.engine import Slurm
from image_sweeps.sweep.plan import plan
from tests.support.saved_sweep import SILENT
from tests.support.saved_sweep import Sweep as Frozen
from tests.support.slurm_cluster import until
from tests.support.slurm_options import options
from tests.support.slurm_sweeps import TINY

GROUP = "slurm"


@pytest.fixture
def found(slurm, monkeypatch):
    """The cluster, as the commands of this process find it; after the test its queue is empty."""
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    yield slurm
    slurm.clear()


@pytest.fixture
def closed(found):
    """The cluster takes jobs, and starts none."""
    found.run("scontrol", "update", "partitionname=main", "state=down")
    yield found
    found.clear()
    found.run("scontrol", "update", "partitionname=main", "state=up")


def frozen(folder, *overrides):
    """The folders of cells."""
    with hydra_at():
        cells = plan([f"outputs_dir={folder}", *TINY, *overrides]).cells
    sweep = folder / "sweeps" / folder.name  # each test's own: SLURM remembers for minutes what was called alike
    folders = [sweep / cell.id for cell in cells]
    for cell, place in zip(cells, folders, strict=True):
        cell.save(place)
    return folders


def engine(**changes):
    return Slurm(options(poll_s=0.01, **changes))


def sleeping(monkeypatch, **changes):
    """An engine whose jobs take long, and do nothing else, also when they are asked to end."""
    made = engine(**changes)
    monkeypatch.setattr(made, "_script", lambda array: "#!/bin/sh\ntrap '' INT TERM\nexec sleep 600\n")
    return made


def test_both_nodes_work_at_a_time(found, tmp_path, monkeypatch):
    sleeping(monkeypatch).start(frozen(tmp_path, "seed=range(3)"))
    both = ["PENDING ", "RUNNING n1", "RUNNING n2"]
    until(lambda: sorted(found.queue(fields="%T %N")) == both, "two that run")


def test_no_more_cells_run_at_a_time_than_the_parallelism_allows(found, tmp_path, monkeypatch):
    sleeping(monkeypatch, array_parallelism=1).start(frozen(tmp_path, "seed=range(3)"))
    one = ["PENDING JobArrayTaskLimit", "PENDING JobArrayTaskLimit", "RUNNING None"]
    until(lambda: sorted(found.queue(fields="%T %r")) == one, "one that runs")


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


def test_a_cell_that_runs_is_where_slurm_says(found, tmp_path, monkeypatch):
    (folder,) = frozen(tmp_path, "seed=0")
    made = sleeping(monkeypatch)
    made.start([folder])
    state = until(lambda: isinstance(state := made.state(folder), Running) and state, "it to run")
    assert state.where in ("n1", "n2")
    made.kill(folder)
    until(lambda: isinstance(made.state(folder), Over), "its end")
    assert made.state(folder).reason.startswith(("killed by SIGKILL", "it was cancelled"))  # it is asked for both


def test_the_second_interrupt_leaves_nothing_in_the_queue(found, tmp_path, monkeypatch):
    made = Frozen(tmp_path, tmp_path.name, ["seed=range(3)"])

    def interrupt_twice():
        for condition in (lambda: found.queue("--states=RUNNING")[1:], lambda: made.listener.notices):
            until(condition)
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt_twice)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        Remote(sleeping(monkeypatch), lambda folder: SILENT, made.listener, poll_s=0.1).run(made.folders)
    thread.join()
    until(lambda: found.queue() == [], "an empty queue")
    reasons = [result.reason for folder in made.folders if (result := Result.load(folder))]
    assert reasons == ["interrupted at once"] * 2
