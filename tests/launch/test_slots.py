import os

import joblib
import pytest
import torch

from image_sweeps.config.composition import CONF
from image_sweeps.config.problems import ConfigError
from image_sweeps.launch.slots import PoolOptions, Slot, slots

DEFAULTS = {"cells_per_gpu": 1, "slots": None}


def options(**changes):
    return PoolOptions.checked(DEFAULTS | changes)


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many cores and GPUs, as far as can be seen."""

    def has(cores, gpus=0, visible=None):
        monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return has


@pytest.mark.parametrize(("cores", "threads", "count"), [(4, 1, 4), (4, 2, 2), (5, 2, 2), (2, 4, 1), (1, 1, 1)])
def test_without_a_gpu_the_cores_are_shared_out(machine, cores, threads, count):
    machine(cores)
    assert slots(options(), "auto", threads=threads) == [Slot(f"cpu {n}", threads) for n in range(count)]


def test_every_gpu_is_a_slot_of_its_own(machine):
    machine(64, gpus=2)
    assert slots(options(), "auto") == [Slot("gpu 0", 1, "0"), Slot("gpu 1", 1, "1")]
    assert slots(options(), "cuda") == slots(options(), "auto")


def test_cells_that_share_gpus_are_spread(machine):
    machine(64, gpus=2)
    assert [slot.gpu for slot in slots(options(cells_per_gpu=2), "auto")] == ["0", "1", "0", "1"]


@pytest.mark.parametrize(
    ("gpus", "devices", "names"),
    [
        (4, 2, ["gpu 0,1", "gpu 2,3"]),
        (5, 2, ["gpu 0,1", "gpu 2,3"]),  # one stays idle
        (8, 3, ["gpu 0,1,2", "gpu 3,4,5"]),
        (2, 2, ["gpu 0,1"]),
    ],
)
def test_a_cell_on_several_gpus_gets_neighbours(machine, gpus, devices, names):
    machine(64, gpus=gpus)
    found = slots(options(), "auto", devices, threads=4)
    assert found == [Slot(name, 4 * devices, name.removeprefix("gpu ")) for name in names]


def test_cells_on_several_gpus_each_share_them_and_are_spread(machine):
    machine(64, gpus=4)
    found = slots(options(cells_per_gpu=2), "cuda", devices=2)
    assert [slot.gpu for slot in found] == ["0,1", "2,3", "0,1", "2,3"]
    assert len(slots(options(slots=3), "cuda", devices=2)) == 3


def test_a_cell_on_several_gpus_gets_only_visible_ones(machine):
    machine(64, gpus=4, visible="7,5, 3,1")
    assert [slot.gpu for slot in slots(options(), "auto", devices=2)] == ["7,5", "3,1"]


@pytest.mark.parametrize(
    ("cores", "threads", "devices", "count"), [(8, 1, 2, 4), (8, 2, 2, 2), (7, 1, 3, 2), (2, 2, 2, 1)]
)
def test_a_cell_in_several_processes_gets_cores_for_each(machine, cores, threads, devices, count):
    machine(cores, gpus=8)
    found = slots(options(), "cpu", devices, threads)
    assert found == [Slot(f"cpu {number}", threads * devices) for number in range(count)]


@pytest.mark.parametrize(("visible", "gpus"), [("3,1", ["3", "1"]), ("GPU-89, GPU-5b", ["GPU-89", "GPU-5b"])])
def test_only_the_gpus_that_are_visible_are_used(machine, visible, gpus):
    machine(64, gpus=2, visible=visible)
    assert [slot.gpu for slot in slots(options(), "auto")] == gpus


def test_where_no_gpu_is_visible_the_cores_are_used(machine):
    machine(2, gpus=0, visible="")
    assert [slot.name for slot in slots(options(), "auto")] == ["cpu 0", "cpu 1"]


def test_a_gpu_that_is_named_is_shared_by_all_and_left_for_the_cell_to_find(machine):
    machine(64, gpus=2)
    assert slots(options(cells_per_gpu=2), "cuda:1") == [Slot("cuda:1", 1), Slot("cuda:1", 1)]


def test_on_the_cpu_gpus_do_not_count(machine):
    machine(2, gpus=8)
    assert slots(options(), "cpu") == [Slot("cpu 0", 1), Slot("cpu 1", 1)]


@pytest.mark.parametrize(("gpus", "names"), [(0, ["cpu 0", "cpu 1", "cpu 2"]), (2, ["gpu 0", "gpu 1", "gpu 0"])])
def test_a_number_of_slots_that_is_given_counts(machine, gpus, names):
    machine(2, gpus=gpus)
    assert [slot.name for slot in slots(options(slots=3), "auto")] == names


def test_no_more_cores_are_shared_out_than_this_process_may_use():
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system has no affinity")
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert [slot.name for slot in slots(options(), "cpu")] == ["cpu 0"]
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"slots": 0}, "hydra.launcher.slots = 0: must be greater than 0"),
        ({"cells_per_gpu": -1}, "hydra.launcher.cells_per_gpu = -1: must be greater than 0"),
        ({"cells_per_gpu": 1.5}, "hydra.launcher.cells_per_gpu = 1.5: must be a valid integer"),
        ({"slots": "many"}, "hydra.launcher.slots = 'many': must be a valid integer"),
        ({"slot": 2}, "hydra.launcher.slot: there is no such key. Did you mean slots?"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_accepted(changes, problem):
    with pytest.raises(ConfigError) as caught:
        options(**changes)
    assert str(caught.value).count("\n  hydra") == 1
    assert problem in str(caught.value)


def test_all_wrong_options_are_named_together():
    with pytest.raises(ConfigError, match="2 problems"):
        options(slots=0, cells_per_gpu=0)


def test_the_options_are_those_of_the_file():
    import yaml

    declared = yaml.safe_load((CONF / "hydra" / "launcher" / "pool.yaml").read_text())
    assert declared.pop("_target_") == "hydra_plugins.pool_launcher.PoolLauncher"
    assert declared == DEFAULTS
