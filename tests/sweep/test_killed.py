"""The machine dies, again and again: what is left is always enough to go on, and nothing is recorded twice."""

import os
import signal
import subprocess
import time
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest

from tests.support import warm
from tests.support.empty_store import with_store
from tests.support.recorded import histories
from tests.support.soak import depth
from tests.support.waiting import until

GRID = ("-m", "dataset.image_size=8", "model.hidden=[16]", "augmentation=rotate", "epochs=8", "seed=0,1,2")
SWEEP = (*GRID, "model=mlp_dropout_batch", "hydra.launcher.slots=2")
LONG_SWEEP = (*GRID, "model=mlp_dropout,mlp_batch", "optimizer.lr=0.1,0.01")


@contextmanager
def begun(outputs, *sweep, cold):
    """The command that begins the sweep in `outputs`, or goes on with it, for as long as the block lets it live."""
    resume = ["resume=last"] if list(outputs.glob("sweeps/*/plan.json")) else []
    with warm.start(*sweep, *resume, f"outputs_dir={outputs}", cold=cold) as process:
        yield process
        process.communicate()
        until(lambda: not alive(process.pid))  # nothing of it is left, whoever was killed


def alive(group):
    """The processes of a group that run; one that has ended may be listed until somebody asks how."""
    listed = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    return [state for pgid, state in map(str.split, listed.splitlines()) if int(pgid) == group and state[0] != "Z"]


def finished(outputs, *sweep):
    """The histories of a sweep that was run, or gone on with, to its end."""
    done = warm.run(*sweep, f"outputs_dir={outputs}")
    assert done.returncode == 0, done.stderr
    return histories(outputs)


def assert_as_if_it_never_was(killed, whole):
    assert Counter(status for _, status, _ in killed) == {"FINISHED": len(whole)}
    assert {cell: history for cell, _, history in killed} == {cell: history for cell, _, history in whole}
    assert all(len({step for step, _ in h}) == len(h) for _, _, keys in killed for h in keys.values())


def assert_nothing_is_left(outputs):
    assert not list(outputs.glob("sweeps/*/*/last.pt"))
    until(lambda: not subprocess.run(["pgrep", "-f", str(outputs)], capture_output=True).stdout)


def test_a_sweep_killed_amid_its_first_cells_and_amid_later_ones_ends_as_if_it_never_was(tmp_path):
    """Its cells, and what forks them, end when the process does that started them; in soak they are killed with it."""
    outputs = with_store(tmp_path / "killed")
    for file, cold in (("last.pt", True), ("result.json", False)):
        with begun(outputs, *SWEEP, cold=cold) as process:
            until(lambda file=file: list(outputs.glob(f"sweeps/*/*/{file}")))
            assert len(alive(process.pid)) > 2 or not cold  # it, the server, a cell
            process.kill()
        assert process.returncode == -signal.SIGKILL
    killed = finished(outputs, *SWEEP, "resume=last")
    assert_as_if_it_never_was(killed, finished(with_store(tmp_path / "whole"), *SWEEP))
    assert len(killed) == 3 + 1
    assert_nothing_is_left(outputs)


@pytest.mark.soak
def test_a_sweep_killed_at_random_moments_ends_as_if_it_never_was(tmp_path):
    began_s = time.monotonic()
    with begun(tmp_path / "whole", *LONG_SWEEP, cold=True):
        pass
    duration_s = time.monotonic() - began_s
    rng, outputs = np.random.default_rng(0), tmp_path / "killed"
    for number in range(depth(2, 8)):
        # a start takes some seconds: the first two get no further, most of the others get something done
        patience_s = duration_s * (rng.uniform(0.2, 1.2) if number > 1 else 0.2 + 0.3 * number)
        with begun(outputs, *LONG_SWEEP, cold=True) as process:
            try:
                process.wait(timeout=patience_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
    assert number > 0
    killed = finished(outputs, *LONG_SWEEP, "resume=last")
    assert_as_if_it_never_was(killed, histories(tmp_path / "whole"))
    assert len(killed) == 12 + 1
    assert_nothing_is_left(outputs)
