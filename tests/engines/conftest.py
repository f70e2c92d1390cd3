"""A SLURM of the tests' own, and sweeps on it as users start them."""

import json
import os
import signal
import subprocess
import sys

import pytest
from mlflow import MlflowClient

from tests.conftest import ROOT
from tests.engines.slurm.cluster import cluster, until, why_not

TINY = ("dataset.image_size=8", "model=mlp", "model.hidden=[8]")
QUICK = ("hydra.launcher.poll_s=0.5", "hydra.launcher.latency_s=0.5")
MEASURED = ("val/loss", "val/accuracy", "train/loss", "train/accuracy", "test/loss", "test/accuracy", "best/epoch")
FOREVER = "epochs=1000000"


class Sweep:
    """A sweep in a folder of its own, on SLURM or in the pool.

    Args:
        outputs: the folder.
        environment: that it is started with.
    """

    def __init__(self, outputs, environment):
        self.outputs, self.environment = outputs, environment
        self.started = []

    def start(self, *overrides, launcher="slurm"):
        options = (f"hydra/launcher={launcher}", *(QUICK if launcher == "slurm" else ()))
        command = [sys.executable, "-m", "src.train", "-m", *options, *TINY, f"outputs_dir={self.outputs}", *overrides]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def close(self):
        """End what a test that failed has left behind."""
        for process in self.started:
            process.kill()
            process.communicate()

    def run(self, *overrides, launcher="slurm"):
        """Its exit code, output and messages."""
        return ended(self.start(*overrides, launcher=launcher))

    def wait_for(self, pattern, count=1, process=None):
        """Until so many files of this pattern are there."""

        def found():
            assert process is None or process.poll() is None, process.communicate()
            paths = sorted(self.outputs.glob(f"sweeps/{pattern}"))
            return paths if len(paths) >= count else None

        return until(found, pattern, deadline_s=120)

    def results(self):
        """By name."""
        found = [json.loads(path.read_text()) for path in self.outputs.glob("sweeps/*/*/result.json")]
        return {result["name"]: result for result in found}

    def arrays(self):
        """The ids of the cells of each, in their order."""
        return [json.loads(path.read_text()) for path in sorted(self.outputs.glob("sweeps/*/slurm/*.json"))]

    def turns(self, cell):
        """How often its run was begun, gone on with, and ended."""
        (path,) = self.outputs.glob(f"sweeps/*/{cell}/records/journal.jsonl")
        done = [json.loads(line)["do"] for line in path.read_text().splitlines()]
        return [do for do in done if do in ("begin", "go on", "end")]

    def runs(self):
        client = MlflowClient(f"sqlite:///{self.outputs}/mlflow.db")
        return client.search_runs(["1"], "tags.kind = 'cell'", max_results=1000)

    def histories(self):
        """Of each cell: the status of its run, and all that was ever recorded of each metric but the times."""
        client = MlflowClient(f"sqlite:///{self.outputs}/mlflow.db")
        return sorted(
            (
                run.data.tags["cell"],
                run.info.status,
                {
                    key: [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, key)]
                    for key in MEASURED
                },
            )
            for run in self.runs()
        )


def ended(process, timeout_s=300):
    out, err = process.communicate(timeout=timeout_s)
    return process.returncode, out, err


def ctrl_c(process):
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it, which knows of no single process


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """A cluster with two nodes of one core each."""
    if reason := why_not():
        pytest.skip(reason)
    with cluster(tmp_path_factory.mktemp("slurm", numbered=False)) as made:
        yield made


@pytest.fixture
def sweep(slurm, tmp_path):
    """A sweep on it that is not yet started; after the test the queue is empty."""
    made = Sweep(tmp_path, slurm.environment)
    yield made
    made.close()
    slurm.clear()
