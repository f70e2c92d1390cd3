"""Sweeps on real Ray clusters on this host, as users start them, interrupted and killed."""

import json
import os
import signal
import socket
import uuid
from collections import Counter
from contextlib import contextmanager

import pytest

pytest.importorskip("ray", reason="pip install -e '.[ray]'")

from image_sweeps.cell.result import Result
from tests.support import recorded, warm
from tests.support.empty_store import with_store
from tests.support.held_cells import held
from tests.support.ray_nodes import marked, until

GROUP = "ray"

pytestmark = pytest.mark.timeout(240)  # Ray starts a dozen processes, which takes its time where the cores are busy

TINY = ("dataset.image_size=8", "model=mlp", "model.hidden=[32]")
CELLS = (*TINY, "model.dropout=0.2", "seed=0,1", "epochs=60")
FOREVER = (*TINY, "epochs=1000000", "seed=0,1,2")


@pytest.fixture(scope="module", autouse=True)
def warm_server():
    """It is no process of a sweep's: it is there before the first of these is marked."""
    warm.run("--help")


@contextmanager
def started(outputs, *overrides, num_cpus="null"):
    """A sweep that runs, as the leader of a process group, and the mark of all processes that it starts."""
    mark = uuid.uuid4().hex
    launcher = ("hydra/launcher=ray", f"hydra.launcher.ray.init.num_cpus={num_cpus}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MARK", mark)
        process = warm.start("-m", f"outputs_dir={with_store(outputs)}", *launcher, *overrides)
    with process:
        try:
            yield process, mark
        finally:
            process.kill()


def ended(process):
    _, err = process.communicate(timeout=warm.DEADLINE_S)
    return process.returncode, err


def at(nodes):
    return f"hydra.launcher.ray.init.address={nodes.address}"


def histories(outputs):
    return sorted(recorded.histories(outputs))


def finished_in_pool(outputs, *overrides):
    """What is recorded when the pool has gone on with the sweep."""
    done = warm.run("-m", *CELLS, f"outputs_dir={with_store(outputs)}", *overrides)
    assert (done.returncode, done.stderr) == (0, "")
    return histories(outputs)


@pytest.fixture(scope="module")
def pooled(tmp_path_factory):
    """What the same cells measure in the pool."""
    return finished_in_pool(tmp_path_factory.mktemp("pool"))


def statuses(outputs):
    found = outputs.glob("sweeps/*/*/result.json")
    return Counter(json.loads(path.read_text())["status"] for path in found)


def at_work(outputs, num_cells):
    """Whether so many cells have told of two epochs in their journals."""
    texts = [path.read_text() for path in outputs.glob("sweeps/*/*/records/journal.jsonl")]
    return sum(text.count('"val/accuracy"') > 1 for text in texts) >= num_cells


def test_a_sweep_on_a_cluster_of_its_own_that_gets_sigterm_keeps_its_epochs_and_leaves_nothing_running(tmp_path):
    with started(tmp_path, *FOREVER, num_cpus=1) as (process, mark):
        until(lambda: at_work(tmp_path, 1))
        os.killpg(process.pid, signal.SIGTERM)
        code, err = ended(process)
    assert code == 128 + signal.SIGTERM, err
    assert err == "SIGTERM: the running cells finish their epoch and are kept; another SIGTERM stops them at once\n"
    assert statuses(tmp_path) == {"interrupted": 1}
    assert len(list(tmp_path.glob("sweeps/*/*/last.pt"))) == 1
    assert marked(mark) == []


def test_a_sweep_on_a_cluster_of_its_own_that_is_killed_leaves_nothing_running_and_can_be_resumed(pooled, tmp_path):
    with started(tmp_path, *CELLS, num_cpus=1) as (process, mark), held(tmp_path, 1, process):
        os.killpg(process.pid, signal.SIGKILL)
        assert ended(process)[0] == -signal.SIGKILL
        until(lambda: not marked(mark))
    assert finished_in_pool(tmp_path, "resume=last") == pooled


@pytest.mark.soak
def test_a_sweep_survives_sigterm_and_sigkill_and_ends_on_ray_as_in_the_pool(tmp_path):
    """That a cell goes on bit for bit on Ray is shown below, where its node is lost."""
    cells = (*CELLS[:-1], "epochs=400")
    with started(tmp_path, *cells, num_cpus=2) as (process, _):
        until(lambda: at_work(tmp_path, 2))
        os.killpg(process.pid, signal.SIGTERM)
        ended(process)
    assert statuses(tmp_path) == {"interrupted": 2}
    with started(tmp_path, *cells, "resume=last", num_cpus=2) as (process, mark), held(tmp_path, 2, process):
        os.killpg(process.pid, signal.SIGKILL)
        ended(process)
        until(lambda: not marked(mark))
    with started(tmp_path, *cells, "resume=last", num_cpus=2) as (process, _):
        assert ended(process) == (0, "")
    assert histories(tmp_path) == finished_in_pool(tmp_path / "pool", *cells[-1:])


@pytest.mark.soak
def test_a_second_ctrl_c_stops_all_at_once(tmp_path):
    """As a process does that has this engine, in test_ray."""
    with started(tmp_path, *FOREVER, num_cpus=2) as (process, mark):
        until(lambda: at_work(tmp_path, 2))
        cells = [path.parent for path in tmp_path.glob("sweeps/*/*/where.txt")]
        deaf = [int(pid) for pid, command_line in marked(mark) if b"forkserver" in command_line]
        for pid in deaf:
            os.kill(pid, signal.SIGSTOP)
        os.killpg(process.pid, signal.SIGINT)
        line = process.stderr.readline()
        os.kill(process.pid, signal.SIGINT)
        code, err = ended(process)
    assert len(deaf) >= 4  # two cells and their servers
    assert line.startswith("SIGINT: the running cells finish their epoch")
    assert code == 128 + signal.SIGINT
    assert "Traceback" not in err
    until(lambda: not marked(mark))
    assert {Result.load(cell).reason for cell in cells} == {"interrupted at once"}


@pytest.mark.soak
def test_where_the_launcher_of_a_sweep_is_killed_its_cells_on_a_cluster_end_with_it(nodes, tmp_path):
    """The process that talks to Ray ends with its launcher, as is shown above, and cells with that, as in test_ray."""
    with started(tmp_path, *FOREVER, at(nodes)) as (process, _):
        until(lambda: at_work(tmp_path, 1))
        assert nodes.cells()
        os.kill(process.pid, signal.SIGKILL)
        ended(process)
    until(lambda: not nodes.cells())


def test_an_address_where_no_cluster_is_is_refused_before_anything_runs(command_line, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    overrides = ("hydra/launcher=ray", f"hydra.launcher.ray.init.address={address}", *TINY, "seed=0,1")
    done = command_line("-m", *overrides, f"outputs_dir={tmp_path}/outputs")
    assert done.returncode == 2
    assert f"hydra.launcher.ray.init.address = '{address}': no cluster is there, at " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "outputs").exists()


@pytest.mark.soak  # a lost node of SLURM stays in `tests`; on a busy machine Ray takes minutes to get as far
def test_cells_of_a_node_that_is_killed_go_on_elsewhere_and_the_sweep_ends_as_in_the_pool(pooled, nodes, tmp_path):
    with started(tmp_path, *CELLS, at(nodes)) as (process, _):
        with held(tmp_path, 2, process):
            nodes.kill(nodes.nodes[0])
        code, err = ended(process)
    assert code == 0, err
    assert err == f"Ray has lost {socket.gethostname()}: what ran there goes on elsewhere, from its last epoch\n"
    journals = [path.read_text() for path in tmp_path.glob("sweeps/*/*/records/journal.jsonl")]
    assert sum(text.count('"go on"') for text in journals) == 1
    assert histories(tmp_path) == pooled
