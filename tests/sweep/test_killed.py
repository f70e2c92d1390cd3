"""The machine dies, again and again: what is left is always enough to go on, and nothing is recorded twice."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
from mlflow import MlflowClient

from tests.conftest import ROOT

SWEEP = ("dataset.image_size=8", "model=mlp_dropout,mlp_batch", "optimizer.lr=0.1,0.01", "seed=0,1,2", "epochs=8")
MEASURED = ("val/loss", "val/accuracy", "train/loss", "train/accuracy", "test/loss", "test/accuracy", "best/epoch")


def command(outputs, *overrides):
    return [sys.executable, "-m", "src.train", "-m", f"outputs_dir={outputs}", *SWEEP, *overrides]


def histories(outputs):
    """Of every run: its cell, its status, and all that was ever recorded of each metric but the times."""
    client = MlflowClient(f"sqlite:///{outputs}/mlflow.db")
    return [
        (
            run.data.tags.get("cell", "the sweep"),
            run.info.status,
            {key: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, key)] for key in MEASURED},
        )
        for run in client.search_runs(["1"], max_results=1000)
    ]


def test_a_sweep_killed_at_random_moments_ends_as_if_it_never_was(tmp_path):
    began = time.monotonic()
    subprocess.run(command(tmp_path / "whole"), cwd=ROOT, check=True, capture_output=True)
    duration_s = time.monotonic() - began
    rng = np.random.default_rng(0)
    outputs = tmp_path / "killed"
    num_kills = 0
    for _ in range(100):
        resume = ["resume=last"] if list(outputs.glob("sweeps/*/plan.json")) else []
        with subprocess.Popen(command(outputs, *resume), cwd=ROOT, start_new_session=True) as process:
            try:  # a start takes some seconds: the first two get no further, most of the others get something done
                process.wait(timeout=duration_s * (rng.uniform(0.2, 1.2) if num_kills > 1 else 0.2 + 0.3 * num_kills))
                break
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                num_kills += 1
    assert process.returncode == 0
    assert num_kills > 0

    whole, killed = histories(tmp_path / "whole"), histories(outputs)
    assert Counter(status for _, status, _ in killed) == {"FINISHED": 13}
    assert {cell: history for cell, _, history in killed} == {cell: history for cell, _, history in whole}
    assert all(len({step for step, _ in h}) == len(h) for _, _, keys in killed for h in keys.values())
    assert not list(outputs.glob("sweeps/*/*/last.pt"))
    deadline = time.monotonic() + 30
    while leftovers := subprocess.run(["pgrep", "-f", str(outputs)], capture_output=True, text=True).stdout.split():
        assert time.monotonic() < deadline, leftovers
