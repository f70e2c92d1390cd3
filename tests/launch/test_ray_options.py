"""What needs no cluster: the options of Ray, how much room a node has, and what a node says of itself."""

import pickle
import sys

import pytest

pytest.importorskip("ray", reason="pip install -e '.[ray]'")

from hydra_plugins.ray_launcher import RayLauncher
from image_sweeps.cell.result import Result
from image_sweeps.config.problems import ConfigError
from image_sweeps.launch.ray import cluster, node_functions, worker
from image_sweeps.launch.ray.engine import Connection, setup_of
from image_sweeps.system.home import PACKAGE
from tests.support import faulty_work as faults
from tests.support.configurations import config_of
from tests.support.ray_options import options


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


def test_a_numbered_gpu_is_rays_business(tmp_path):
    with pytest.raises(ConfigError, match="device = 'cuda:1': Ray gives a cell its GPU, and it sees no other"):
        Connection.to(options(), [config_of().model_copy(update={"device": "cuda:1"})])


def test_an_attempt_leaves_alone_what_has_ended_before_its_node_was_lost(tmp_path):
    for status in ("finished", "failed"):
        Result("id", "name", status, status).save(tmp_path)
        assert worker.attempt(str(tmp_path), 1, False, pickle.dumps(faults.raise_error)) is False
        assert Result.load(tmp_path).status == status
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
        "project": str(PACKAGE.parent),
        "digest": node_functions.digest(PACKAGE.parent),
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
        ({"digest": "other"}, f"has other code than this machine in {PACKAGE.parent}"),
        ({"folder": "/nowhere"}, "has no folder /nowhere, where the sweep was started"),
        ({"versions": {"numpy": "0.1"}}, "has numpy "),
        ({"versions": {"nothing": "1"}}, "has no nothing; this machine has 1"),
    ],
)
def test_a_node_says_what_it_does_not_have(home, tmp_path, changes, problem):
    found = node_functions.check_node({**home, **changes})
    assert len(found) == (problem is not None)
    assert all(text.startswith(problem.format(tmp_path)) for text in found)


def test_without_ray_the_launcher_says_how_to_install_it(monkeypatch):
    door = sys.modules[RayLauncher.__module__]  # Hydra's search for plugins makes it no attribute of its package
    monkeypatch.setattr(door, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"hydra/launcher = 'ray': Ray is not installed; pip install -e '\.\[ray\]'"):
        RayLauncher().check()
