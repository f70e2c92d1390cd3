"""Cells that a scheduler runs, here as processes of this machine; real ones are in tests/engines."""

import os
import signal
import threading

import pytest

from image_sweeps.cell.folders import CellFile
from image_sweeps.cell.result import Result
from image_sweeps.cell.status import CellStatus
from image_sweeps.launch.remote import Remote
from image_sweeps.tracking.journal import Journal
from tests.support.process_engine import Processes
from tests.support.saved_sweep import SILENT, Sweep
from tests.support.waiting import until

FAULTY = "tests.support.faulty_node"


@pytest.fixture
def sweep(tmp_path):
    def made(*overrides):
        return Sweep(tmp_path, "remote", overrides)

    return made


def remote(sweep, engine, latency_s=0.0):
    return Remote(engine, lambda folder: SILENT, sweep.listener, poll_s=0.05, latency_s=latency_s)


def test_a_grid_is_handed_over_whole_and_trained_as_here(sweep):
    made, engine = sweep("seed=range(3)", "epochs=2"), Processes(num_machines=2)
    results = remote(made, engine).run(made.folders)
    assert {result.name: result.status for result in results} == {f"seed={n}": "finished" for n in range(3)}
    assert engine.events == [("start", 3), ("close", None)]
    assert sorted(made.listener.epochs) == [(f"seed={n}", epoch) for n in range(3) for epoch in (1, 2)]
    assert len(made.listener.places) == 3
    assert {run.info.status for run in made.runs().values()} == {"FINISHED"}


@pytest.mark.soak  # jobs on SLURM, in test_slurm, are such processes too
def test_a_cell_is_trained_by_a_process_that_shares_nothing_with_others(sweep):
    made = sweep("seed=0")
    (result,) = remote(made, Processes(cold=True)).run(made.folders)
    assert result.finished


def test_of_a_search_the_next_cell_is_asked_for_when_there_is_room(sweep):
    made, engine, asked = sweep("seed=0,1"), Processes(2, num_slots=1, module=FAULTY), []

    def folders():
        for folder in made.folders:
            asked.append(len(made.listener.ended))
            yield folder

    remote(made, engine).run(folders())
    assert asked == [0, 1]
    assert engine.events == [("start", 1), ("start", 1), ("close", None)]


@pytest.fixture
def faulty(sweep):
    made = sweep("seed=range(5)", "cell_timeout_s=2")
    results = remote(made, Processes(5, module=FAULTY)).run(made.folders)
    return made, {result.name: result for result in results}


def test_a_cell_fails_alone_with_the_reason_in_its_folder(faulty):
    made, results = faulty
    reasons = {
        "seed=0": None,
        "seed=1": "ValueError: not this one",
        "seed=2": "exit code 3",
        "seed=3": "exit code -9",
        "seed=4": "hung: not over after cell_timeout_s = 2, and killed",
    }
    assert {name: result.reason for name, result in results.items()} == reasons
    assert [Result.load(folder).reason for folder in made.folders] == list(reasons.values())
    assert made.listener.failures["seed=2"] == "exit code 3\nlast words"
    assert "in hang" in (made.folders[4] / "output.log").read_text()


def test_what_finished_before_it_was_handed_over_is_not_run_again(sweep):
    made, engine = sweep("seed=5,6"), Processes(module=FAULTY)
    for folder in made.folders:
        Result(folder.name, "by another process", CellStatus.FINISHED).save(folder)
    results = remote(made, engine).run(made.folders)
    assert [result.name for result in results] == ["by another process"] * 2
    assert engine.events == [("close", None)]


def test_a_cell_that_is_thrown_off_its_machine_goes_on_from_its_checkpoint(sweep):
    made, engine = sweep("seed=7", "epochs=60"), Processes()
    (folder,) = made.folders
    runner = remote(made, engine)

    def preempt():
        until((folder / CellFile.LAST).exists)
        engine.requeue(folder)

    preemption = threading.Thread(target=preempt)
    preemption.start()
    (result,) = runner.run(made.folders)
    preemption.join()
    assert result.finished
    numbers = [number for _, number in made.listener.epochs]
    assert numbers == sorted(set(numbers))
    assert max(numbers) == 60
    begun = [entry["do"] for entry in Journal(folder).entries() if entry["do"] in ("begin", "go on")]
    assert begun == ["begin", "go on"]


def test_with_on_failure_stop_those_that_wait_are_taken_back(sweep):
    made, engine = sweep("seed=1,5,6", "on_failure=stop"), Processes(1, module=FAULTY)
    results = remote(made, engine).run(made.folders)
    assert [result.name for result in results] == ["seed=1"]
    assert not any((folder / "there").exists() for folder in made.folders)


def interrupt_when(*conditions):
    def interrupt():
        for condition in conditions:
            until(condition)
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    return thread


def test_the_first_interrupt_lets_running_cells_finish_their_epoch_and_takes_back_those_that_wait(sweep):
    made, engine = sweep("seed=5,6,7", "epochs=100000"), Processes(2)
    thread = interrupt_when(lambda: all((folder / CellFile.LAST).exists() for folder in made.folders[:2]))
    with pytest.raises(KeyboardInterrupt):
        remote(made, engine).run(made.folders)
    thread.join()
    assert [Result.load(folder).status for folder in made.folders[:2]] == ["interrupted"] * 2
    assert Result.load(made.folders[2]) is None
    assert made.listener.notices[0].startswith("SIGINT: the running cells finish their epoch and are kept")
    assert [process.returncode for process in engine.processes.values()] == [0, 0]


def test_the_second_interrupt_stops_at_once(sweep):
    made, engine = sweep("seed=4"), Processes(module=FAULTY)
    hangs = made.folders[0] / "output.log"

    def is_hanging():
        return hangs.exists() and "hanging here" in hangs.read_text()

    thread = interrupt_when(is_hanging, lambda: made.listener.notices)
    with pytest.raises(KeyboardInterrupt):
        remote(made, engine).run(made.folders)
    thread.join()
    assert Result.load(made.folders[0]).reason == "interrupted at once"
    assert [process.returncode for process in engine.processes.values()] == [-signal.SIGKILL]


def test_a_result_that_comes_to_light_late_counts(sweep):
    made, engine = sweep("seed=2"), Processes(module=FAULTY)
    (folder,) = made.folders

    def come_late():
        until(lambda: engine.processes and all(process.poll() is not None for process in engine.processes.values()))
        Result(folder.name, "late", CellStatus.FINISHED).save(folder)

    late = threading.Thread(target=come_late)
    late.start()
    (result,) = remote(made, engine, latency_s=60).run(made.folders)
    late.join()
    assert (result.name, result.status) == ("late", "finished")
