"""The processes of a cell on several devices: real ones, that are really killed, stopped and interrupted."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import torch

from image_sweeps.cell.folders import CellFile
from image_sweeps.command_line import checked_arguments
from image_sweeps.config.composition import composed, hydra_at
from image_sweeps.fit import checkpoint
from image_sweeps.fit.ranks import RankError, process_group
from image_sweeps.system.torchrun import TorchrunEnv
from tests.support import waiting, warm
from tests.support.archives import two_classes, write_folder
from tests.support.configurations import ROOT
from tests.support.held_cells import pid_of
from tests.support.recorded import numbers
from tests.support.training import training

TINY = ("dataset.image_size=8", "model=mlp", "model.hidden=[8]", "device=cpu", "devices=2")
DEADLINE_S = 60


until = partial(waiting.until, deadline_s=DEADLINE_S)


def children():
    return {process.pid for process in multiprocessing.active_children()}


@pytest.fixture(autouse=True)
def _nothing_is_left_running():
    before = children()
    yield
    assert children() <= before
    assert not torch.distributed.is_initialized()


def train_until(event, *overrides, timeout_s=60.0, device="cpu"):
    """Train in two processes, let something happen after the first epoch, and train on."""
    with hydra_at():
        cell = composed([*TINY, *overrides])
    before = children()
    with process_group(cell.config, cell.raw, timedelta(seconds=timeout_s)) as world:
        epochs = training(*TINY, *overrides, world=world, device=device).epochs()
        next(epochs)
        (rank_1,) = children() - before
        event(rank_1)
        list(epochs)


def test_a_rank_that_is_killed_ends_the_cell_with_its_signal():
    with pytest.raises(RankError, match=r"^rank 1 was killed by SIGKILL, perhaps because memory ran out$"):
        train_until(lambda pid: os.kill(pid, signal.SIGKILL))


def test_a_rank_that_hangs_ends_the_cell_and_is_gone():
    with pytest.raises(RankError, match=r"^rank 1 hung: the others waited 3 s for it \("):
        train_until(lambda pid: os.kill(pid, signal.SIGSTOP), timeout_s=3)


def test_a_rank_that_fails_ends_the_cell_with_its_own_words(tmp_path):
    images = write_folder(tmp_path / "images", two_classes())
    overrides = ("dataset=image_folder", f"dataset.path={images}", f"outputs_dir={tmp_path}")
    with hydra_at():
        cell = composed([*TINY, *overrides])
    shutil.rmtree(images)
    with (
        pytest.raises(RankError, match=r"^rank 1 failed\. ConfigError: (.|\n)*dataset\.path = .*: there is nothing"),
        process_group(cell.config, cell.raw) as world,
    ):
        world.barrier()


def test_an_error_of_rank_0_stays_what_it_is():
    def fail(pid):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        train_until(fail)


def test_where_nothing_is_left_to_train_nothing_is_told_and_threads_are_shared_out_and_given_back():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        with hydra_at():
            cell = composed(TINY)
        with process_group(cell.config, cell.raw) as world:
            assert world.size == 2
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


# --- from the command line --------------------------------------------------------------------------------------------

CELL = (*TINY, "epochs=3", "augmentation=rotate", "model.dropout=0", "norm=batch")
ENDLESS = (*TINY, "epochs=1000000")
TORCHRUN = ("torch.distributed.run", "--nproc-per-node=2", "-m")


def train(outputs, *arguments, launcher=(), **environment):
    if not launcher:
        return warm.run(f"outputs_dir={outputs}", *arguments, **environment)
    command = [sys.executable, "-m", *launcher, "src.train", f"outputs_dir={outputs}", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment}, check=False, timeout=300
    )


def files(outputs):
    """What is written, without the ids in it."""
    (run,) = (outputs / "runs").iterdir()
    return sorted({path.relative_to(run).parts[0] for path in run.rglob("*") if path.is_file()})


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("one")
    assert train(outputs, *CELL, "devices=1").returncode == 0
    return outputs


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("two")
    done = train(outputs, *CELL)
    assert done.returncode == 0, done.stderr
    return outputs


def test_only_rank_0_writes(alone, two):
    assert files(two) == files(alone)
    assert (next((two / "runs").iterdir()) / "train.log").read_text().count("Epoch(") == 3


def test_it_is_the_same_cell_with_the_same_numbers(alone, two):
    assert len(numbers(two)) == 1
    (cell, expected), (same_cell, found) = *numbers(alone).items(), *numbers(two).items()
    assert same_cell == cell
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=0.02, abs=0.03), key


def test_torchrun_gives_the_same_numbers_to_the_last_bit(two, tmp_path):
    done = train(tmp_path, *CELL, launcher=TORCHRUN, OMP_NUM_THREADS="3")
    assert done.returncode == 0, done.stderr
    assert files(tmp_path) == files(two)
    assert numbers(tmp_path) == numbers(two)


def test_a_sweep_gives_the_same_numbers_and_takes_both_processes_threads(two, tmp_path):
    done = train(tmp_path, "-m", *CELL, "seed=0,1")
    assert done.returncode == 0, done.stderr
    found = numbers(tmp_path)
    ((cell, expected),) = numbers(two).items()
    assert len(found) == 2
    assert found[cell] == expected


def test_a_loss_that_is_not_finite_is_told_once_and_in_words(tmp_path):
    done = train(tmp_path, *TINY, "optimizer.lr=1e30")
    assert done.returncode == 1
    assert done.stderr.count("NonFiniteLossError: the training loss became") == 1
    assert "Traceback" not in done.stderr


def test_in_a_sweep_the_cell_whose_rank_is_killed_fails_alone(tmp_path):
    with warm.start(f"outputs_dir={tmp_path}", "-m", *ENDLESS, "seed=0,1", "hydra.launcher.slots=2") as process:
        first, second = until(lambda: len(found := list(tmp_path.glob("sweeps/*/*/last.pt"))) == 2 and found)
        ranks = [rank for last in (first, second) for rank in children_of(pid_of(last.parent))]
        os.kill(ranks[0], signal.SIGKILL)
        until((first.parent / "result.json").exists)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=DEADLINE_S)
        until(lambda: not any(Path("/proc", str(rank)).exists() for rank in ranks))
    results = [json.loads(path.read_text()) for path in tmp_path.glob("sweeps/*/*/result.json")]
    failed, interrupted = sorted(results, key=lambda result: result["status"])
    assert failed["reason"] == "RankError: rank 1 was killed by SIGKILL, perhaps because memory ran out"
    assert interrupted["status"] == "interrupted"
    assert failed["reason"] in err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("devices=1",), "devices = 1: WORLD_SIZE = 2 in the environment says that so many processes were started"),
        (("devices=2", "-m"), "--multirun: WORLD_SIZE = 2 in the environment says that so many processes were started"),
    ],
)
def test_what_torchrun_started_otherwise_is_refused(tmp_path, arguments, problem, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit, match="2"):
        checked_arguments([f"outputs_dir={tmp_path}", "device=cpu", *arguments])
    assert problem in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_other_ranks_leave_questions_to_rank_0(tmp_path):
    done = train(tmp_path, "--help", RANK="1", WORLD_SIZE="2")
    assert (done.returncode, done.stdout) == (0, "")


def test_a_process_that_was_started_by_itself_is_not_torchruns(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert TorchrunEnv.load() is None
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert TorchrunEnv.load() is None


@pytest.fixture
def endless(tmp_path):
    """A cell in mid-training, in a session of its own: the process, and its folder."""
    with warm.start(f"outputs_dir={tmp_path}", *ENDLESS) as process:
        try:
            last = until(lambda: process.poll() is not None or next(tmp_path.glob("runs/*/last.pt"), None))
            assert process.poll() is None
            yield process, last.parent
        finally:
            if members(process.pid):
                os.killpg(process.pid, signal.SIGKILL)


def children_of(parent):
    """The ids of the processes that the process `parent` has spawned."""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True, check=True
    )
    fields = [line.split(maxsplit=1) for line in listed.stdout.splitlines()]
    return [int(pid) for pid, command in fields if "spawn_main" in command]


def members(session):
    """The processes of the session, those that nobody has buried left out: their ids and commands."""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,stat=,args=", "-s", str(session)], capture_output=True, text=True, check=False
    )
    fields = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
    return [(int(pid), command) for pid, stat, command in fields if not stat.startswith("Z")]


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.soak)])
def test_a_signal_to_all_ranks_lets_them_finish_the_epoch(endless, number):
    process, folder = endless
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 128 + number
    assert "was interrupted after epoch" in err
    assert "Traceback" not in err
    assert json.loads((folder / "result.json").read_text())["status"] == "interrupted"
    assert checkpoint.num_done(folder / CellFile.LAST) > 0
    until(lambda: not members(process.pid))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process that is stopped with its parent")
def test_where_rank_0_is_killed_no_rank_is_left_not_even_one_that_hangs(endless):
    process, _ = endless
    (child,) = (pid for pid, command in members(process.pid) if "multiprocessing.spawn" in command)
    os.kill(child, signal.SIGSTOP)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not members(process.pid))


@pytest.mark.gpu
def test_two_gpus_train_what_one_does():
    if torch.cuda.device_count() < 2:
        pytest.skip(f"NCCL needs a GPU for each rank, and there are {torch.cuda.device_count()}")
    settings = ("model=cnn_batch", "epochs=2", "deterministic=true", "augmentation=standard")
    expected = list(training(*settings, "device=cuda", device="cuda").epochs())
    with hydra_at():
        cell = composed([*settings, "device=cuda", "devices=2"])
    with process_group(cell.config, cell.raw) as world:
        found = list(training(*settings, "device=cuda", "devices=2", device="cuda", world=world).epochs())
    for one, other in zip(found, expected, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-2)
        assert one.val_loss == pytest.approx(other.val_loss, rel=1e-2)


@pytest.mark.gpu
def test_a_rank_that_is_killed_does_not_leave_the_other_waiting_on_its_gpu():
    if torch.cuda.device_count() < 2:
        pytest.skip(f"NCCL needs a GPU for each rank, and there are {torch.cuda.device_count()}")
    with pytest.raises(RankError, match="rank 1 was killed by SIGKILL"):
        train_until(lambda pid: os.kill(pid, signal.SIGKILL), "device=cuda", device="cuda")
