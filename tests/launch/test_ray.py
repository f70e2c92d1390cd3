"""Cells on real Ray clusters on this host, and what becomes of them when parts of these are killed.

A worker of Ray's that gets its first cell imports torch and mlflow, and starts a fork server that does so too, which
takes twelve seconds of a core; so the cells of these tests share few workers. Sweeps as users start them are in
test_ray_sweeps.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="pip install -e '.[ray]'")

from hydra_plugins.ray_launcher import RayLauncher
from image_sweeps.cell.result import Result
from image_sweeps.config.problems import ConfigError
from image_sweeps.launch.ray.driver import Driver
from image_sweeps.launch.ray.engine import Connection, Ray, setup_of
from image_sweeps.launch.ray.messages import Ended, Noted, Start
from image_sweeps.launch.remote import Remote
from tests.support import ray_work as works
from tests.support.configurations import config_of
from tests.support.ray_nodes import alive, below, until
from tests.support.ray_options import on, options
from tests.support.saved_sweep import SILENT, Sweep
from tests.support.soak import DEPTH

GROUP = "ray"

pytestmark = pytest.mark.timeout(240)  # Ray starts a dozen processes, which takes its time where the cores are busy

HOST = socket.gethostname()


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    return tmp_path_factory.mktemp("ray")


@pytest.fixture(scope="module")
def connection(outputs):
    """To a cluster that is started for it, on which two cells share a GPU that Ray believes to be there."""
    asked = options(init={"num_cpus": 4, "num_gpus": 1}, remote={"num_cpus": 2, "num_gpus": 0.5})
    with closing(Connection.to(asked, [config_of(f"outputs_dir={outputs}")], works.by_seed)) as made:
        yield made


def run(connection, sweep):
    """The outcomes by name."""
    engine = Ray(connection, sweep.listener.on_notice)
    remote = Remote(engine, lambda folder: SILENT, sweep.listener, poll_s=0.1, latency_s=0)
    return {result.name: result for result in remote.run(sweep.folders)}


def test_a_cluster_has_as_many_slots_as_cells_find_room(connection):
    assert connection.num_slots == 2


@pytest.fixture(scope="module")
def shared(outputs, connection):
    """Two cells that were there at the same time."""
    made = Sweep(outputs, "shared", ["seed=30,31"])
    assert all(result.finished for result in run(connection, made).values())
    return made


def test_cells_share_a_gpu_and_see_no_other(shared):
    assert [told["visible"] for told in shared.told("gpu")] == ["0", "0"]
    assert [told["where"] for told in shared.told("gpu")] == [f"{HOST} gpu 0"] * 2


def test_a_cell_computes_with_as_many_threads_as_it_has_cpus(shared):
    assert [(told["torch"], told["interop"]) for told in shared.told("threads")] == [(2, 2)] * 2


@pytest.fixture(scope="module")
def faulty(outputs, connection):
    """A sweep in which cells die in their own ways, or Ray's worker does: once, and in `soak` again and again."""
    made = Sweep(outputs, "faulty", [f"seed=0,1,2,4,6,20{',21' if DEPTH else ''}", "cell_timeout_s=6"])
    return made, run(connection, made)


@pytest.mark.parametrize(
    ("seed", "reason"),
    [
        (1, "ValueError: not this one"),
        (2, "its process ended with exit code 3 and left no result"),
        (4, "killed by SIGKILL, perhaps because memory ran out"),
        (6, "hung: not over after cell_timeout_s = 6, and killed"),
        pytest.param(
            21,
            "its worker of Ray's died 2 times (hydra.launcher.ray.remote.max_retries)",
            marks=pytest.mark.soak,
        ),
    ],
)
def test_a_cell_fails_alone_with_the_reason(faulty, seed, reason):
    made, outcomes = faulty
    result = outcomes[f"seed={seed}"]
    assert (result.status, result.reason) == ("failed", reason)
    assert reason in made.listener.failures[f"seed={seed}"]
    left = Result.load(made.folders[0].parent / result.cell)
    assert (left.status, left.reason) == ("failed", reason)


def test_the_other_cells_finish_also_where_a_worker_of_rays_died(faulty):
    made, outcomes = faulty
    assert {name for name, result in outcomes.items() if result.finished} == {"seed=0", "seed=20"}
    note = f"a worker of Ray's died on {HOST} gpu 0: what ran there goes on elsewhere, from its last epoch"
    assert made.listener.notices == [note]


def test_the_output_of_a_cell_has_its_traceback(faulty):
    made, _ = faulty
    output = (made.folders[1] / "output.log").read_text()
    assert output.count("raise ValueError") >= 1


def test_nothing_of_rays_stays_in_the_folders(faulty):
    made, _ = faulty
    assert not [folder for folder in made.folders if (folder / "where.txt").exists()]


def test_the_second_interrupt_stops_at_once_also_what_does_not_listen(outputs, connection):
    """The last test of this cluster: its workers are killed."""
    made = Sweep(outputs, "deaf", ["seed=60,61"])

    def both_are_deaf():
        return all((folder / "deaf").exists() for folder in made.folders)

    def interrupt_twice():
        for condition in (both_are_deaf, lambda: made.listener.notices):
            until(condition)
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt_twice)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run(connection, made)
    thread.join()
    assert [Result.load(folder).reason for folder in made.folders] == ["interrupted at once"] * 2
    pids = [pid for told in made.told("deaf") for pid in told["pids"]]
    assert len(pids) == 4
    until(lambda: not any(alive(pid) for pid in pids))


# --- a cluster of two nodes, which is there already -------------------------------------------------------------------


@pytest.fixture(scope="module")
def lost(two_nodes, outputs):
    """A launcher whose process that talks to Ray was killed while a cell ran, and how that ended."""
    two_nodes.complete()
    made = Sweep(outputs, "lost", [f"seed={works.HANGS}"])
    launcher = RayLauncher()
    launcher.hydra_job = lambda folder: SILENT
    launcher.connection = Connection.to(on(two_nodes), [config_of(f"outputs_dir={outputs}")], works.by_seed)
    output = made.folders[0] / "output.log"

    def kill():
        until(lambda: output.exists() and "hanging here" in output.read_text())
        launcher.connection.process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    (result,) = launcher.run(made.folders, 1)
    killer.join()
    yield launcher, result
    launcher.connection.close()


def test_a_sweep_outlives_the_process_that_talks_to_ray_which_takes_its_cells_along(lost, nodes):
    _, result = lost
    assert result.status == "failed"
    assert result.reason == "the cluster is lost: the process that talked to Ray ended with exit code -9."
    until(lambda: not nodes.cells())


def test_where_the_process_that_talks_to_ray_has_gone_the_next_attempts_have_another(lost, outputs):
    launcher, _ = lost
    (result,) = launcher.run(Sweep(outputs, "again", ["seed=0"]).folders, 1)
    assert result.finished


@contextmanager
def driver(address, events):
    """What makes Ray's task of a function, and the driver for it, in this process; the first end of a cell ends it."""
    import ray

    def tell(event):
        events.append(event)
        if isinstance(event, Ended):
            made.events.put(None)

    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        made = Driver(None, 1, tell)
        made.events.put(Start(Path("cell")))
        yield ray.remote, made
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, before)


def test_a_cell_whose_worker_of_rays_dies_again_is_given_up(nodes):
    told = []
    with driver(nodes.address, told) as (remote, made):
        made.task = remote(max_retries=0)(lambda folder: os.kill(os.getpid(), signal.SIGKILL)).remote
        made.run()
    assert told == [
        Noted("a worker of Ray's died on a node: what ran there goes on elsewhere, from its last epoch"),
        Ended(Path("cell"), "its worker of Ray's died 2 times (hydra.launcher.ray.remote.max_retries)"),
    ]


def test_a_cell_that_rays_memory_monitor_kills_is_told_in_words(nodes, monkeypatch):
    """A real kill, on a node where memory counts as full as soon as any is used."""
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.0001")
    full = nodes.cluster.add_node(num_cpus=1, resources={"full": 1})
    told = []
    try:
        with driver(nodes.address, told) as (remote, made):
            made.task = remote(max_retries=0, resources={"full": 1})(lambda folder: time.sleep(600)).remote
            made.run()
    finally:
        nodes.cluster.remove_node(full)
    (ended,) = told
    assert ended.reason.startswith(
        "killed by Ray's memory monitor: the node running low on memory. Memory on the node ("
    )
    assert ended.reason.endswith("with more of hydra.launcher.ray.remote.num_cpus or memory")


# --- clusters that cannot be used -------------------------------------------------------------------------------------


def refused(asked, outputs):
    """Why a connection cannot be made."""
    with pytest.raises(ConfigError) as caught:
        Connection.to(asked, [config_of(f"outputs_dir={outputs}")])
    return caught.value.problems


def test_a_node_that_does_not_see_outputs_dir_is_named_before_anything_runs(nodes, tmp_path):
    """A real one: its raylet lives where another disk is mounted there."""
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    node = f"{sys.executable} -m ray.scripts.scripts start --address={nodes.address} --num-cpus=1 --block"
    start = f"mount -t tmpfs none {outputs} && exec {node}"
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("no permission to mount")
    before = nodes.num_living()
    with subprocess.Popen(["unshare", "-m", "sh", "-c", start], stdout=subprocess.DEVNULL) as blind:
        try:
            until(lambda: nodes.num_living() == before + 1)
            (problem,) = refused(on(nodes), outputs)
        finally:
            for pid in [*below(blind.pid), blind.pid]:
                os.kill(pid, signal.SIGTERM)
    assert problem == (
        f"hydra/launcher = 'ray': {HOST} does not see the sweep's outputs_dir, {outputs}: it has to be on a disk that "
        "all nodes share"
    )


def test_a_cell_that_fits_nowhere_is_told_and_not_waited_for(nodes, tmp_path):
    (problem,) = refused(on(nodes, remote={"num_gpus": 1.0}), tmp_path / "outputs")
    assert problem.startswith(
        "hydra.launcher.ray.remote: a cell asks for CPU 1, GPU 1, and no node of the cluster has so much ("
    )
    assert f"{HOST}: CPU 1, GPU 0" in problem
    assert not (tmp_path / "outputs").exists()


def test_of_a_cluster_that_grows_no_node_needs_to_have_room_yet(nodes, tmp_path):
    asked = on(nodes, remote={"num_gpus": 1.0}, autoscaling=True)
    with closing(Connection.to(asked, [config_of(f"outputs_dir={tmp_path}")])) as connection:
        assert Ray(connection, print).num_slots is None


def test_what_ray_does_not_take_is_told_in_its_words(nodes, tmp_path):
    (problem,) = refused(options(init={"num_gpu": 1}), tmp_path)
    assert problem == "hydra.launcher.ray.init, with address = 'local': Unknown keyword argument(s): num_gpu"
    (problem,) = refused(on(nodes, remote={"label_selector": {"a b": "c"}}), tmp_path)
    assert problem.startswith("hydra.launcher.ray.remote: Invalid label key name")


def test_what_is_no_address_is_told(tmp_path):
    (problem,) = refused(options(init={"address": "nowhere"}), tmp_path)
    assert problem.startswith("hydra.launcher.ray.init.address = 'nowhere': must be host:port, auto or local")


def test_what_a_cluster_that_is_there_has_cannot_be_asked_of_it(nodes, tmp_path):
    (problem,) = refused(options(init={"address": nodes.address, "num_cpus": 2}), tmp_path)
    assert problem == (
        f"hydra.launcher.ray.init, with address = '{nodes.address}': When connecting to an existing cluster, num_cpus "
        "and num_gpus must not be provided."
    )


def test_what_is_at_the_address_and_does_not_answer_is_given_up(tmp_path):
    with socket.create_server(("", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        setup = setup_of(options(init={"address": address, "num_cpus": None}), [config_of(f"outputs_dir={tmp_path}")])
        with pytest.raises(ConfigError) as caught:
            Connection(setup, patience_s=3)
    assert caught.value.problems == (f"hydra.launcher.ray.init, with address = '{address}': did not answer within 3 s",)
