"""Ray: real clusters on this host, and what becomes of cells when their parts are killed."""

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from mlflow import MlflowClient

pytest.importorskip("ray", reason="pip install -e '.[ray]'")

from hydra_plugins.ray_launcher import RayLauncher

from src.problems import ConfigError
from src.sweep.engines.ray import cluster, node, sent
from src.sweep.engines.ray.driver import Driver
from src.sweep.engines.ray.engine import Connection, Ray, setup_of
from src.sweep.engines.ray.messages import Start
from src.sweep.engines.ray.options import RayOptions
from src.sweep.remote import Remote
from src.sweep.result import Result
from tests.conftest import ROOT, config_of
from tests.engines import works
from tests.sweep import faults
from tests.sweep.test_pool import SILENT, Sweep

TINY = ("dataset.image_size=8", "model=mlp", "model.hidden=[32]")
CELLS = (*TINY, "model.dropout=0.2", "seed=0,1,2,3", "epochs=120")
MEASURED = ("val/loss", "val/accuracy", "train/loss", "train/accuracy", "test/loss", "test/accuracy", "best/epoch")
DEADLINE_S = 180


def until(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def options(**changes):
    """The options of conf/hydra/launcher/ray.yaml with `init` and `remote` changed."""
    init = {"address": "local", "num_cpus": 2, "num_gpus": None, "resources": None, "include_dashboard": False}
    remote = {
        **dict.fromkeys(("num_gpus", "memory", "resources", "accelerator_type", "label_selector")),
        "num_cpus": 1,
        "scheduling_strategy": "DEFAULT",
        "max_retries": 1,
    }
    both = {"init": init | changes.get("init", {}), "remote": remote | changes.get("remote", {})}
    return RayOptions.checked({"ray": both, "autoscaling": changes.get("autoscaling", False)})


def command(outputs, *overrides):
    launcher = ("hydra/launcher=ray", "hydra.launcher.ray.init.num_cpus=2")
    return [sys.executable, "-m", "src.train", "-m", f"outputs_dir={outputs}", *launcher, *overrides]


def histories(outputs):
    """Of every run: its cell, its status, and all that was ever recorded of each metric but the times."""
    client = MlflowClient(f"sqlite:///{outputs}/mlflow.db")
    return sorted(
        (
            run.data.tags.get("cell", "the sweep"),
            run.info.status,
            {key: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, key)] for key in MEASURED},
        )
        for run in client.search_runs(["1"])
    )


def results(outputs):
    return [json.loads(path.read_text()) for path in outputs.glob("sweeps/*/*/result.json")]


def num_epochs(outputs):
    """How many epochs the journals of the cells tell of, by the cell's folder."""
    lines = {path.parent.parent: path.read_text() for path in outputs.glob("sweeps/*/*/records/journal.jsonl")}
    return {folder: text.count('"val/accuracy"') for folder, text in lines.items()}


def gone_on(outputs):
    """How often cells went on from a checkpoint."""
    return sum(path.read_text().count('"go on"') for path in outputs.glob("sweeps/*/*/records/journal.jsonl"))


def marked(mark):
    """The processes that were born with MARK=`mark` in their environment, but zombies."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"MARK={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder.name, (folder / "cmdline").read_bytes()[:100]))
    return found


@contextmanager
def started(outputs, *overrides):
    """A sweep that runs, as the leader of a process group, and the mark of all its processes."""
    mark = uuid.uuid4().hex
    with subprocess.Popen(
        command(outputs, *overrides),
        cwd=ROOT,
        env={**os.environ, "MARK": mark},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process, mark
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def pooled(command_line, tmp_path_factory):
    """What the same cells measure in the pool."""
    outputs = tmp_path_factory.mktemp("pool")
    done = command_line("-m", *CELLS, f"outputs_dir={outputs}")
    assert done.returncode == 0, done.stderr
    return histories(outputs)


class Nodes:
    """A cluster of a head without CPUs and two nodes of one CPU each, all on this host."""

    def __init__(self):
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self.nodes = [self.cluster.add_node(num_cpus=1) for _ in range(2)]
        self.address = self.cluster.address

    def kill(self, node):
        """All at once, as where a machine loses its power."""
        self.nodes.remove(node)
        pids = [info.process.pid for infos in node.all_processes.values() for info in infos]
        pids += [child for pid in pids for child in below(pid)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def cells(self):
        """The processes of cells, and their fork servers."""
        found = [pid for node in self.nodes for info in node.all_processes["raylet"] for pid in below(info.process.pid)]
        return [pid for pid in found if b"forkserver" in command_of(pid)]


def command_of(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def below(pid):
    """All processes that `pid` has started, and theirs."""
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [each for child in map(int, done.stdout.split()) for each in (child, *below(child))]


@pytest.fixture(scope="module")
def nodes():
    made = Nodes()
    yield made
    made.cluster.shutdown()


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    return tmp_path_factory.mktemp("ray")


@pytest.fixture(scope="module")
def connection(outputs):
    """To a cluster that is started for it, on which cells share a GPU that Ray believes to be there."""
    asked = options(init={"num_gpus": 1}, remote={"num_gpus": 0.5})
    with closing(Connection.to(asked, [config_of(f"outputs_dir={outputs}")], works.by_seed)) as made:
        yield made


def run(connection, sweep):
    """The outcomes by name."""
    remote = Remote(Ray(connection, sweep.board.note), lambda folder: SILENT, sweep.board, poll_s=0.1, latency_s=0)
    return {result.name: result for result in remote.run(sweep.folders)}


@pytest.fixture(scope="module")
def faulty(outputs, connection):
    """A sweep in which cells die in their own ways, or Ray's worker does."""
    made = Sweep(outputs, "faulty", ["seed=0,1,2,4,6,20,21", "cell_timeout_s=6"])
    return made, run(connection, made)


@pytest.mark.parametrize(
    ("seed", "reason"),
    [
        (1, "ValueError: not this one"),
        (2, "its process ended with exit code 3 and left no result"),
        (4, "killed by SIGKILL, perhaps because memory ran out"),
        (6, "hung: not over after cell_timeout_s = 6, and killed"),
        (21, "its worker of Ray's died 2 times (hydra.launcher.ray.remote.max_retries)"),
    ],
)
def test_a_cell_fails_alone_with_the_reason(faulty, seed, reason):
    made, outcomes = faulty
    result = outcomes[f"seed={seed}"]
    assert (result.status, result.reason) == ("failed", reason)
    assert reason in made.board.failures[f"seed={seed}"]
    left = Result.of(made.folders[0].parent / result.cell)
    assert (left.status, left.reason) == ("failed", reason)


def test_the_other_cells_finish_also_where_a_worker_of_rays_died(faulty):
    made, outcomes = faulty
    assert {name for name, result in outcomes.items() if result.finished} == {"seed=0", "seed=20"}
    note = (
        f"a worker of Ray's died on {socket.gethostname()} gpu 0: what ran there goes on elsewhere, from its last epoch"
    )
    assert made.board.notes == [note]


def test_the_output_of_a_cell_has_its_traceback(faulty):
    made, _ = faulty
    output = (made.folders[1] / "output.log").read_text()
    assert output.count("raise ValueError") >= 1


def test_nothing_of_rays_stays_in_the_folders(faulty):
    made, _ = faulty
    assert not [folder for folder in made.folders if (folder / "where.txt").exists()]


def test_cells_share_a_gpu_and_see_no_other(outputs, connection):
    made = Sweep(outputs, "shared", ["seed=30,31"])
    assert all(result.finished for result in run(connection, made).values())
    assert [told["visible"] for told in made.told("gpu")] == ["0", "0"]
    assert [told["where"] for told in made.told("gpu")] == [f"{socket.gethostname()} gpu 0"] * 2


def test_a_cluster_has_as_many_slots_as_cells_find_room(connection):
    assert connection.num_slots == 2


def test_a_cell_computes_with_as_many_threads_as_it_has_cpus(outputs):
    asked = options(remote={"num_cpus": 2})
    made = Sweep(outputs, "threads", [f"seed={works.TELLS_THREADS}"])
    with closing(Connection.to(asked, [config_of(f"outputs_dir={outputs}")], works.by_seed)) as connection:
        assert connection.num_slots == 1
        run(connection, made)
    (told,) = made.told("threads")
    assert (told["torch"], told["interop"]) == (2, 2)


def test_a_sweep_on_a_cluster_of_its_own_survives_sigterm_and_sigkill_and_ends_as_in_the_pool(pooled, tmp_path):
    with started(tmp_path, *CELLS) as (process, mark):
        until(lambda: sum(count > 1 for count in num_epochs(tmp_path).values()) >= 2)
        os.killpg(process.pid, signal.SIGTERM)
        out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 143, err
    assert err == "SIGTERM: the running cells finish their epoch and are kept; another SIGTERM stops them at once\n"
    assert "Traceback" not in out
    assert Counter(result["status"] for result in results(tmp_path))["interrupted"] == 2
    assert marked(mark) == []

    before = num_epochs(tmp_path)
    with started(tmp_path, *CELLS, "resume=last") as (process, mark):
        until(lambda: sum(count > before.get(folder, 0) for folder, count in num_epochs(tmp_path).items()) >= 2)
        os.killpg(process.pid, signal.SIGKILL)
    until(lambda: not marked(mark))

    done = subprocess.run(command(tmp_path, *CELLS, "resume=last"), cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert histories(tmp_path) == pooled


def test_a_second_ctrl_c_stops_all_at_once(tmp_path):
    with started(tmp_path, *TINY, "epochs=1000000", "seed=0,1,2") as (process, mark):
        until(lambda: sum(count > 0 for count in num_epochs(tmp_path).values()) >= 2)
        cells = [path.parent for path in tmp_path.glob("sweeps/*/*/where.txt")]
        deaf = [int(pid) for pid, command_line in marked(mark) if b"forkserver" in command_line]
        for pid in deaf:
            os.kill(pid, signal.SIGSTOP)
        os.killpg(process.pid, signal.SIGINT)
        line = process.stderr.readline()
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=DEADLINE_S)
    assert len(deaf) >= 4  # two cells and their servers
    assert line.startswith("SIGINT: the running cells finish their epoch")
    assert process.returncode == 130
    assert "Traceback" not in err
    until(lambda: not marked(mark))
    assert {Result.of(cell).reason for cell in cells} == {"interrupted at once"}


def test_cells_of_a_node_that_is_killed_go_on_elsewhere_and_the_sweep_ends_as_in_the_pool(pooled, nodes, tmp_path):
    address = f"hydra.launcher.ray.init.address={nodes.address}"
    with started(tmp_path, *CELLS, address, "hydra.launcher.ray.init.num_cpus=null") as (process, _):
        until(lambda: sum(count > 1 for count in num_epochs(tmp_path).values()) >= 2)
        nodes.kill(nodes.nodes[0])
        _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    host = socket.gethostname()
    assert err == f"Ray has lost {host}: what ran there goes on elsewhere, from its last epoch\n"
    assert gone_on(tmp_path) == 1
    assert Counter(status for _, status, _ in histories(tmp_path)) == {"FINISHED": 5}
    assert histories(tmp_path) == pooled


def test_where_the_launcher_of_a_sweep_is_killed_its_cells_on_a_cluster_end_with_it(nodes, tmp_path):
    address = f"hydra.launcher.ray.init.address={nodes.address}"
    launcher = (address, "hydra.launcher.ray.init.num_cpus=null")
    with started(tmp_path, *TINY, "epochs=1000000", "seed=0,1,2", *launcher) as (process, _):
        until(lambda: sum(num_epochs(tmp_path).values()) >= 1)
        assert nodes.cells()
        os.kill(process.pid, signal.SIGKILL)
    until(lambda: not nodes.cells())


def test_a_sweep_outlives_the_process_that_talks_to_ray_which_takes_its_cells_along(outputs, monkeypatch):
    monkeypatch.setenv("MARK", mark := uuid.uuid4().hex)
    made = Sweep(outputs, "lost", [f"seed={works.HANGS}"])
    with closing(Connection.to(options(), [config_of(f"outputs_dir={outputs}")], works.by_seed)) as connection:
        made.board.started = lambda cell, where: connection.process.kill()
        (result,) = run(connection, made).values()
        assert not connection.alive
    assert result.status == "failed"
    assert result.reason == "the cluster is lost: the process that talked to Ray ended with exit code -9."
    until(lambda: not marked(mark))


def test_where_the_process_that_talks_to_ray_has_gone_the_next_attempts_have_another(outputs, monkeypatch):
    made = Sweep(outputs, "again", ["seed=0"])
    launcher = RayLauncher()
    launcher.checked = options()
    launcher.prepare([config_of(f"outputs_dir={outputs}")])
    launcher.connection.process.kill()
    launcher.connection.process.join()
    monkeypatch.setattr(launcher, "hydra_job", lambda folder: SILENT)
    (result,) = launcher.run(made.folders, len(made.folders))
    launcher.connection.close()
    assert result.finished


def test_a_cell_that_rays_memory_monitor_kills_is_told_in_words(monkeypatch):
    """A real kill: memory counts as full as soon as any is used."""
    import ray

    monkeypatch.setenv("RAY_memory_usage_threshold", "0.0001")
    before = signal.getsignal(signal.SIGTERM)
    told = []
    try:
        ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        hang = ray.remote(max_retries=0)(lambda folder: time.sleep(DEADLINE_S))
        driver = Driver(hang.remote, 0, lambda event: (told.append(event), driver.events.put(None)))
        driver.events.put(Start(Path("cell")))
        driver.run()
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, before)
    (ended,) = told
    assert ended.reason.startswith(
        "killed by Ray's memory monitor: the node running low on memory. Memory on the node ("
    )
    assert ended.reason.endswith("with more of hydra.launcher.ray.remote.num_cpus or memory")


def test_a_node_that_does_not_see_outputs_dir_is_named_before_anything_runs(nodes, tmp_path):
    """A real one: its raylet lives where another disk is mounted there."""
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    node = f"{sys.executable} -m ray.scripts.scripts start --address={nodes.address} --num-cpus=1 --block"
    start = f"mount -t tmpfs none {outputs} && exec {node}"
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("no permission to mount")
    with subprocess.Popen(["unshare", "-m", "sh", "-c", start], stdout=subprocess.DEVNULL) as blind:
        try:
            until(lambda: len(nodes.cluster.global_state._live_node_ids()) == len(nodes.nodes) + 2)
            (problem,) = refused(outputs, init={"address": nodes.address, "num_cpus": None})
        finally:
            for pid in [*below(blind.pid), blind.pid]:
                os.kill(pid, signal.SIGTERM)
    assert problem == (
        f"hydra/launcher = 'ray': {socket.gethostname()} does not see the sweep's outputs_dir, {outputs}: it has to be "
        "on a disk that all nodes share"
    )


def refused(outputs, **changes):
    """Why a connection cannot be made."""
    with pytest.raises(ConfigError) as caught:
        Connection.to(options(**changes), [config_of(f"outputs_dir={outputs}")])
    return caught.value.problems


def test_a_cell_that_fits_nowhere_is_told_and_not_waited_for(nodes, tmp_path):
    there = {"address": nodes.address, "num_cpus": None}
    (problem,) = refused(tmp_path / "outputs", init=there, remote={"num_gpus": 1.0})
    assert problem.startswith(
        "hydra.launcher.ray.remote: a cell asks for CPU 1, GPU 1, and no node of the cluster has so much ("
    )
    assert f"{socket.gethostname()}: CPU 1, GPU 0" in problem
    assert not (tmp_path / "outputs").exists()


def test_of_a_cluster_that_grows_no_node_needs_to_have_room_yet(nodes, tmp_path):
    there = {"address": nodes.address, "num_cpus": None}
    asked = options(init=there, remote={"num_gpus": 1.0}, autoscaling=True)
    with closing(Connection.to(asked, [config_of(f"outputs_dir={tmp_path}")])) as connection:
        assert Ray(connection, print).num_slots is None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_an_address_where_no_cluster_is_is_refused_before_anything_runs(command_line, tmp_path):
    address = f"127.0.0.1:{free_port()}"
    overrides = ("hydra/launcher=ray", f"hydra.launcher.ray.init.address={address}", *TINY, "seed=0,1")
    done = command_line("-m", *overrides, f"outputs_dir={tmp_path}/outputs")
    assert done.returncode == 2
    assert f"hydra.launcher.ray.init.address = '{address}': no cluster is there, at " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"init": {"num_cpus": 0}}, "hydra.launcher.ray.init.num_cpus = 0: must be greater than 0"),
        ({"init": {"address": "ray://a:1"}}, "hydra.launcher.ray.init.address = 'ray://a:1': a sweep reads what its"),
        ({"remote": {"num_cpus": -1}}, "hydra.launcher.ray.remote.num_cpus = -1: must be greater than or equal to 0"),
        ({"remote": {"num_cpus": 0}}, "hydra.launcher.ray.remote.num_cpus = 0: nothing would limit how many cells"),
        (
            {"remote": {"num_gpus": 1.5}},
            "hydra.launcher.ray.remote.num_gpus = 1.5: must be a whole number, or less than",
        ),
        ({"remote": {"num_gpu": 1}}, "hydra.launcher.ray.remote.num_gpu: there is no such key. Did you mean"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_accepted(changes, problem):
    with pytest.raises(ConfigError) as caught:
        options(**changes)
    assert caught.value.problems[0].startswith(problem)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"init": {"num_gpu": 1}},
            "hydra.launcher.ray.init, with address = 'local': Unknown keyword argument(s): num_gpu",
        ),
        ({"remote": {"label_selector": {"a b": "c"}}}, "hydra.launcher.ray.remote: Invalid label key name"),
        (
            {"init": {"address": "nowhere"}},
            "hydra.launcher.ray.init.address = 'nowhere': must be host:port, auto or local",
        ),
    ],
)
def test_what_ray_does_not_take_is_told_in_its_words(tmp_path, changes, problem):
    assert refused(tmp_path, **changes)[0].startswith(problem)


def test_what_a_cluster_that_is_there_has_cannot_be_asked_of_it(nodes, tmp_path):
    (problem,) = refused(tmp_path, init={"address": nodes.address, "num_cpus": 2})
    assert problem == (
        f"hydra.launcher.ray.init, with address = '{nodes.address}': When connecting to an existing cluster, num_cpus "
        "and num_gpus must not be provided."
    )


def test_a_numbered_gpu_is_rays_business(tmp_path):
    with pytest.raises(ConfigError, match="device = 'cuda:1': Ray gives a cell its GPU, and it sees no other"):
        Connection.to(options(), [config_of().model_copy(update={"device": "cuda:1"})])


def test_what_is_at_the_address_and_does_not_answer_is_given_up(tmp_path):
    with socket.create_server(("", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        setup = setup_of(options(init={"address": address, "num_cpus": None}), [config_of(f"outputs_dir={tmp_path}")])
        with pytest.raises(ConfigError) as caught:
            Connection(setup, patience_s=3)
    assert caught.value.problems == (f"hydra.launcher.ray.init, with address = '{address}': did not answer within 3 s",)


def test_an_attempt_leaves_alone_what_has_ended_before_its_node_was_lost(tmp_path):
    for status in ("finished", "failed"):
        Result("id", "name", status, status).save(tmp_path)
        assert node.attempt(str(tmp_path), 1, False, pickle.dumps(faults.raise_error)) is False
        assert Result.of(tmp_path).status == status
        Result.remove(tmp_path)


@pytest.mark.parametrize(
    ("there", "asked", "num_slots"),
    [
        ({"CPU": 8.0}, {"CPU": 3.0}, 2),
        ({"CPU": 8.0, "GPU": 2.0}, {"CPU": 1.0, "GPU": 0.4}, 4),
        ({"CPU": 8.0, "GPU": 2.0}, {"CPU": 1.0, "GPU": 0.1}, 8),
        ({"CPU": 8.0, "GPU": 2.0}, {"GPU": 2.0}, 1),
        ({"CPU": 8.0, "memory": 5e9}, {"CPU": 1.0, "memory": 2e9}, 2),
        ({"CPU": 8.0}, {"CPU": 1.0, "fast_disk": 1.0}, 0),
    ],
)
def test_a_node_has_room_for_what_all_its_resources_allow_and_each_gpu_is_shared_by_itself(there, asked, num_slots):
    assert cluster.num_slots_of(there, asked) == num_slots


@pytest.mark.parametrize(
    ("device", "asked", "gpus_there", "num_gpus"),
    [
        ("auto", None, 2.0, 1.0),
        ("auto", None, 0.0, 0.0),
        ("cpu", None, 2.0, 0.0),
        ("cuda", None, 0.0, 1.0),
        ("auto", 0.5, 2.0, 0.5),
        ("auto", 0.0, 2.0, 0.0),
    ],
)
def test_a_cell_gets_a_gpu_where_there_are_some_and_it_wants_one(device, asked, gpus_there, num_gpus):
    config = config_of().model_copy(update={"device": device})
    setup = setup_of(options(remote={"num_gpus": asked}), [config])
    assert cluster.num_gpus_of(setup, [{"Resources": {"GPU": gpus_there}}]) == num_gpus


@pytest.fixture
def home(tmp_path):
    """What a node is asked for, all of which this machine has."""
    (tmp_path / "token").write_text("content")
    return {
        "project": str(ROOT),
        "digest": sent.digest(ROOT),
        "folder": str(tmp_path),
        "outputs_dir": str(tmp_path),
        "token": "token",
        "content": "content",
        "versions": {},
    }


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"content": "other"}, "does not see the sweep's outputs_dir, {}: it has to be on a disk that all nodes share"),
        ({"token": "other"}, "does not see the sweep's outputs_dir, {}: it has to be on a disk that all nodes share"),
        ({"project": "/nowhere"}, "has no copy of this project in /nowhere"),
        ({"digest": "other"}, f"has other code than this machine in {ROOT}"),
        ({"folder": "/nowhere"}, "has no folder /nowhere, where the sweep was started"),
        ({"versions": {"numpy": "0.1"}}, "has numpy "),
        ({"versions": {"nothing": "1"}}, "has no nothing; this machine has 1"),
    ],
)
def test_a_node_says_what_it_does_not_have(home, tmp_path, changes, problem):
    found = sent.look({**home, **changes})
    assert len(found) == (problem is not None)
    assert all(text.startswith(problem.format(tmp_path)) for text in found)


def test_without_ray_the_launcher_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("hydra_plugins.ray_launcher.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"hydra/launcher = 'ray': Ray is not installed; pip install -e '\.\[ray\]'"):
        RayLauncher().check()
