"""The same cells, run in every way that there is: the same numbers, to the last bit.

That a sweep which was killed gives them too is shown in `test_killed.py`.
"""

import pytest

from tests.support import warm
from tests.support.empty_store import with_store
from tests.support.recorded import numbers

SHARED = ("dataset.image_size=32", "augmentation=rotate", "model.hidden=[16]", "epochs=3", "model.dropout=0.3")
CELLS = ("-m", "model=mlp_dropout,mlp_dropout_batch", "seed=1")
MANY_THREADS = {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "3"}  # in the environment, where the configuration counts

STREAMED = ("dataset.memory_budget_mb=1",)
ONE = ("-m", "model=mlp_dropout_batch", "seed=1")

WAYS = {  # each differs from what is expected in all that it can; that one thing alone makes no difference is for soak
    "pool, two slots, streamed": ((*CELLS, "hydra.launcher.slots=2", *STREAMED), {}),
    "basic": ((*CELLS, "hydra/launcher=basic"), {}),
    "joblib, many threads": ((*ONE, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"), MANY_THREADS),
    "alone, many threads": (ONE[1:], MANY_THREADS),
}
IN_SOAK = {
    "pool, two slots": ((*CELLS, "hydra.launcher.slots=2"), {}),
    "pool, streamed": ((*CELLS, "hydra.launcher.slots=1", *STREAMED), {}),
    "basic, many threads": ((*CELLS, "hydra/launcher=basic"), MANY_THREADS),
    "joblib": ((*CELLS, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"), {}),
}


def run(outputs, *arguments, **environment):
    done = warm.run(*SHARED, *arguments, f"outputs_dir={with_store(outputs)}", **environment)
    assert done.returncode == 0, done.stderr
    return numbers(outputs)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """By the pool, one cell after the other, all in memory."""
    found = run(tmp_path_factory.mktemp("outputs"), *CELLS, "hydra.launcher.slots=1")
    assert len(found) == 2
    assert all(len(measured) > 20 for measured in found.values())
    assert len({measured["val/loss", 3] for measured in found.values()}) == 2
    return found


@pytest.mark.parametrize("way", [*WAYS, *(pytest.param(way, marks=pytest.mark.soak) for way in IN_SOAK)])
def test_a_cell_gives_the_same_numbers(expected, tmp_path, way):
    arguments, environment = (WAYS | IN_SOAK)[way]
    found = run(tmp_path, *arguments, **environment)
    assert len(found) == (2 if CELLS[1] in arguments else 1)
    assert found == {cell: expected[cell] for cell in found}
