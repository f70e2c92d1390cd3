"""A sweep begun by a machine whose clock is ahead, and ended by one whose clock is behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from src.fit.checkpoint import LAST
from tests.conftest import ROOT
from tests.sweep.faults import until

LIBRARIES = list(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
SWEEP = ("-m", "model=mlp", "dataset.image_size=8", "seed=1,2", "epochs=60", "hydra.launcher.slots=2")


def with_clock(minutes, *arguments):
    """The command line on a machine whose clock differs by so much."""
    clock = {"LD_PRELOAD": str(LIBRARIES[0]), "FAKETIME": f"{minutes:+d}m"}
    return subprocess.Popen([sys.executable, "-m", "src.train", *arguments], cwd=ROOT, env={**os.environ, **clock})


@pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed")
def test_clocks_that_differ_by_minutes_do_no_harm(tmp_path, command_line):
    outputs, calm = tmp_path / "outputs", tmp_path / "calm"
    ahead = with_clock(+10, *SWEEP, f"outputs_dir={outputs}")
    until(lambda: len(list(outputs.glob(f"sweeps/*/*/{LAST}"))) == 2)
    ahead.terminate()
    assert ahead.wait() == 128 + signal.SIGTERM
    (unfinished,) = outputs.glob("sweeps/*")
    assert len(list(unfinished.glob(f"*/{LAST}"))) == 2
    assert with_clock(-10, *SWEEP, f"outputs_dir={outputs}", "resume=last").wait() == 0
    assert command_line(*SWEEP, f"outputs_dir={calm}").returncode == 0

    assert measured(outputs) == measured(calm)
    (report,) = outputs.glob("sweeps/*/report.json")
    assert json.loads(report.read_text())["cells"]
    assert command_line(*SWEEP, f"outputs_dir={outputs}", "dry_run=true").returncode == 0  # what past epochs took


def measured(outputs):
    """Of each cell, its epochs with their accuracies, each once."""
    client = MlflowClient(f"sqlite:///{outputs / 'mlflow.db'}")
    runs = client.search_runs(["1"], "tags.kind = 'cell'")
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    histories = {run.data.tags["cell"]: client.get_metric_history(run.info.run_id, "val/accuracy") for run in runs}
    return {cell: sorted((metric.step, metric.value) for metric in history) for cell, history in histories.items()}
