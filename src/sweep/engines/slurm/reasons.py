"""Why a cell's job is over, and has left no result, in words."""

import os
import re

from src.sweep.attempt import SIGNAL_NAMES
from src.sweep.engines.slurm.queue import Job

ENDED = {
    "BOOT_FAIL": "its node did not boot",
    "CANCELLED": "it was cancelled in SLURM's queue",
    "DEADLINE": "its deadline in SLURM's queue has passed",
    "NODE_FAIL": "its node failed",
    "OUT_OF_MEMORY": "it took more memory than it was given",
    "PREEMPTED": "it was pre-empted",
    "TIMEOUT": "it took longer than its time limit",
    "UNKNOWN": "it left SLURM's queue, and nothing tells how",
}
"""By SLURM's states."""

NEXT_STEPS = {
    "OUT_OF_MEMORY": "; hydra.launcher.mem_gb gives it more",
    "TIMEOUT": "; hydra.launcher.timeout_min gives it more, and its epochs have to fit into that",
}

TOO_MUCH_MEMORY = re.compile(r"[Ee]xceeded (job )?memory limit|oom[-_]kill")
"""What a node's daemon writes into the output of a job that it ends for its memory; the state may say no more than that
the job has failed."""


def reason(job: Job, written: str) -> str:
    """Why the job is over.

    Args:
        job: that is.
        written: what SLURM wrote into its output.
    """
    state = job.state
    if state == "FAILED" and TOO_MUCH_MEMORY.search(written):
        state = "OUT_OF_MEMORY"
    where = f" on {job.node}" if job.node else ""
    return f"{ENDED.get(state) or _of_process(job)} (SLURM job {job.id}{where}: {state}){NEXT_STEPS.get(state, '')}"


def _of_process(job: Job) -> str:
    code = os.waitstatus_to_exitcode(job.status)
    if code >= 0:
        return f"its process ended with exit code {code}"
    return f"killed by {SIGNAL_NAMES.get(-code, f'signal {-code}')}"
