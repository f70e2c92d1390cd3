"""The pool as Hydra starts it."""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from hydra import compose
from mlflow import MlflowClient
from omegaconf import OmegaConf

from hydra_plugins.pool_launcher import PoolLauncher
from image_sweeps.config.composition import hydra_at
from image_sweeps.launch import fork_server as server
from tests.support import warm
from tests.support.configurations import ROOT
from tests.support.empty_store import with_store
from tests.support.waiting import until

TINY = ("dataset.image_size=8", "model=mlp", "model.hidden=[8]")
POOL = "hydra/launcher=pool"


def results(outputs):
    """The outcomes of all cells by name."""
    found = [json.loads(path.read_text()) for path in outputs.glob("sweeps/*/*/result.json")]
    return {result["name"]: result for result in found}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep in the pool, in which cells diverge. Its numbers are those of one process: `test_determinism.py`."""
    outputs = with_store(tmp_path_factory.mktemp("pool"))
    done = warm.run("-m", POOL, *TINY, "epochs=3", "optimizer.lr=0.1,1e30", "seed=0,1", f"outputs_dir={outputs}")
    return done, results(outputs), outputs


def test_the_terminal_has_a_line_a_cell_and_its_failures_at_once(swept):
    done, _, _ = swept
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    assert [line.split()[0] for line in lines] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
    assert sum(line.endswith(": failed") for line in lines) == 2
    message = "optimizer.lr=1e+30 seed=0 failed. NonFiniteLossError: the training loss became nan in epoch 1"
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_every_cell_has_its_log_and_its_output_in_its_folder(swept):
    _, pooled, outputs = swept
    assert len(pooled) == 4
    for result in pooled.values():
        (folder,) = outputs.glob(f"sweeps/*/{result['cell']}")
        log = (folder / "train.log").read_text()
        assert "[image_sweeps.launch.attempt][INFO]" in log
        assert log.count("Epoch(") == (3 if result["status"] == "finished" else 0)
        assert (folder / "output.log").read_text() == ""


@pytest.fixture
def launcher(monkeypatch):
    """The launcher that these overrides make, and whether it has started the fork server."""

    def made(*overrides):
        starts = []
        monkeypatch.setattr(server, "start", lambda: starts.append(1))
        with hydra_at():
            config = compose("config", [POOL, *overrides], return_hydra_config=True)
        options = OmegaConf.to_container(config.hydra.launcher)
        options.pop("_target_")
        pool = PoolLauncher(**options)
        pool.setup(hydra_context=None, task_function=None, config=config)
        return pool, bool(starts)

    return made


@pytest.mark.parametrize(("override", "started"), [("dry_run=false", True), ("dry_run=true", False)])
def test_the_fork_server_gets_ready_while_the_sweep_is_planned_unless_none_is_run(launcher, override, started):
    assert launcher(override)[1] == started


def test_what_hydra_says_of_a_job_holds_for_the_folder_of_each_cell(launcher, tmp_path):
    pool, _ = launcher("+hydra.job.env_set.ANY=1", "hydra.verbose=[image_sweeps.launch.attempt]")
    for name in ("a", "b"):
        job = pool.hydra_job(tmp_path / name)
        assert job.logging["handlers"]["file"]["filename"] == str(tmp_path / name / "train.log")
        assert job.environment == {"ANY": "1"}
        assert job.verbose == ["image_sweeps.launch.attempt"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hydra.launcher.slots=0", "hydra.launcher.slots = 0: must be greater than 0"),
        (
            "hydra/sweeper=basic",
            "hydra/launcher = 'pool': runs the cells that hydra/sweeper=grid or optuna has planned",
        ),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_runs(tmp_path, override, message):
    done = warm.run("-m", POOL, override, *TINY, "seed=0,1", f"outputs_dir={tmp_path}/outputs")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "outputs" / "mlflow.db").exists()


def test_a_failure_stops_a_sweep_that_is_to_stop(tmp_path):
    settings = ("on_failure=stop", "hydra.launcher.slots=1", "epochs=1", f"outputs_dir={with_store(tmp_path)}")
    done = warm.run("-m", POOL, *TINY, "optimizer.lr=1e30,0.1", *settings)
    assert done.returncode == 1
    assert "1 not finished" in done.stdout.replace("\n", " ")
    assert set(results(tmp_path)) == {"optimizer.lr=1e+30"}


def test_ctrl_c_in_a_terminal_reaches_all_processes_and_stops_them_after_their_epoch(tmp_path):
    settings = ("epochs=100000", "seed=0,1,2", "hydra.launcher.slots=2", f"outputs_dir={with_store(tmp_path)}")
    with warm.start("-m", POOL, *TINY, *settings, cold=True) as process:
        until(lambda: len(list(tmp_path.glob("sweeps/*/*/last.pt"))) == 2)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "SIGINT: the running cells finish their epoch and are kept" in err
    assert "Traceback" not in err
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    assert {run.info.status for run in client.search_runs(["1"])} == {"KILLED"}
    assert [result["status"] for result in results(tmp_path).values()] == ["interrupted"] * 2


PRELOAD = """
import torch
def started(*arguments):
    raise SystemExit("CUDA was started")
torch.cuda._device_count_nvml = lambda: 1  # NVML sees a GPU
torch.cuda._lazy_init = torch._C._cuda_getDeviceCount = torch._C._ensureCUDADeviceGuardSet = started
import image_sweeps.launch.preload
assert torch.cuda.is_available()
print("warm", flush=True)
"""


@pytest.mark.skipif(torch.version.cuda is None, reason="this build of torch has no CUDA to start")
def test_the_fork_server_gets_ready_without_starting_cuda_where_there_is_a_gpu():
    """An export asks whether there is one, and would start it to see. After that, no child could use it."""
    done = subprocess.run([sys.executable, "-c", PRELOAD], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("warm\n", "")
