"""The same cells, run in every way that there is: the same numbers, to the last bit."""

import os
import subprocess
import sys

import pytest

from src.tracking.journal import Journal
from tests.conftest import ROOT

SHARED = ("dataset.image_size=32", "augmentation=rotate", "model.hidden=[16]", "epochs=3", "model.dropout=0.3")
CELLS = ("model=mlp_dropout,mlp_dropout_batch", "seed=0,1")
MANY_THREADS = {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "3"}  # in the environment, where the configuration counts
STREAMED = ("dataset.memory_budget_mb=1",)

WAYS = {
    "pool, two slots": (("hydra.launcher.slots=2",), {}),
    "pool, two slots, streamed": (("hydra.launcher.slots=2", *STREAMED), {}),
    "basic": (("hydra/launcher=basic",), MANY_THREADS),
    "joblib": (("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"), MANY_THREADS),
}


def run(outputs, *arguments, **environment):
    command = [sys.executable, "-m", "src.train", f"outputs_dir={outputs}", *SHARED, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return numbers(outputs)


def numbers(outputs):
    """All that was measured, by cell; not how long it took, nor when."""
    found = {}
    for path in outputs.rglob("journal.jsonl"):
        entries = Journal(path.parent.parent).entries()
        tags = entries[0]["tags"]
        if tags["kind"] == "cell":
            measured = [m for entry in entries for m in entry.get("metrics", ())]
            found[tags["cell"]] = {
                (key, step): value for key, value, _, step in measured if not key.startswith("time/")
            }
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """By the pool, one cell after the other, all in memory."""
    found = run(tmp_path_factory.mktemp("outputs"), "-m", *CELLS, "hydra.launcher.slots=1")
    assert len(found) == 4
    assert all(len(measured) > 20 for measured in found.values())
    assert len({measured["val/loss", 3] for measured in found.values()}) == 4
    return found


@pytest.mark.parametrize("way", WAYS)
def test_a_sweep_gives_the_same_numbers(expected, tmp_path, way):
    overrides, environment = WAYS[way]
    assert run(tmp_path, "-m", *CELLS, *overrides, **environment) == expected


def test_a_cell_alone_gives_the_same_numbers(expected, tmp_path):
    alone = run(tmp_path, "model=mlp_dropout_batch", "seed=1", **MANY_THREADS)
    ((cell, measured),) = alone.items()
    assert measured == expected[cell]


def test_a_cell_that_was_interrupted_gives_the_same_numbers(expected, tmp_path):
    cells = ("-m", *CELLS, "hydra.launcher.slots=1")
    command = [sys.executable, "-m", "src.train", f"outputs_dir={tmp_path}", *SHARED, *cells]
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as process:
        while not any(tmp_path.glob("sweeps/*/*/last.pt")):
            assert process.poll() is None
        os.killpg(process.pid, 9)
    assert run(tmp_path, *cells, "resume=last") == expected
