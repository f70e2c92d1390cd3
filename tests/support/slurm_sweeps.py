"""Sweeps on SLURM, or in the pool, as users start them."""

import json
import os
import signal

import pytest

from tests.support import recorded, warm
from tests.support.empty_store import with_store
from tests.support.held_cells import held
from tests.support.slurm_cluster import until

TINY = ("dataset.image_size=8", "model=mlp", "model.hidden=[8]")
QUICK = ("hydra.launcher.poll_s=0.5", "hydra.launcher.latency_s=0.5")
FOREVER = "epochs=1000000"


class Sweep:
    """A sweep in a folder of its own, on SLURM or in the pool.

    Args:
        outputs: the folder.
        environment: that its commands find the cluster by.
    """

    def __init__(self, outputs, environment):
        self.outputs, self.environment = with_store(outputs), environment
        self.started = []

    def start(self, *overrides, launcher="slurm"):
        """Cells are processes of SLURM's, or of the pool's fork server: what starts them need not be cold."""
        options = (f"hydra/launcher={launcher}", *(QUICK if launcher == "slurm" else ()))
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            self.started.append(warm.start("-m", *options, *TINY, f"outputs_dir={self.outputs}", *overrides))
        return self.started[-1]

    def close(self):
        """End what a test that failed has left behind."""
        for process in self.started:
            process.kill()
            with process:
                pass

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

    def held(self, count, process):
        return held(self.outputs, count, process)

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

    def histories(self):
        """Of each cell: the status of its run, and all that was ever recorded of each metric but the times."""
        return sorted(history for history in recorded.histories(self.outputs) if history[0] != "the sweep")


def ended(process, timeout_s=300):
    out, err = process.communicate(timeout=timeout_s)
    return process.returncode, out, err


def ctrl_c(process):
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it, which knows of no single process
