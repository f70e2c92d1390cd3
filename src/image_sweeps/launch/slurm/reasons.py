"""The reasons why a cell's job is over without a result."""

import os
import re

from image_sweeps.launch.cell_process import SIGNAL_NAMES
from image_sweeps.launch.slurm.queue import Job

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
"""The reasons by SLURM's job state."""

NEXT_STEPS = {
    "OUT_OF_MEMORY": "; hydra.launcher.mem_gb gives it more",
    "TIMEOUT": "; hydra.launcher.timeout_min gives it more, and its epochs have to fit into that",
}

TOO_MUCH_MEMORY = re.compile(r"[Ee]xceeded (job )?memory limit|oom[-_]kill")
"""The message that a node's daemon writes into the output of a job that it ends because of its memory; the state of the
job may be only FAILED."""


NO_OUTPUT = 53
"""The signal number that SLURM reports for a job whose output file it could not open; no such signal exists."""

DAEMON = "slurmstepd"
"""The prefix of the daemon's lines in a job's output; the other lines come from the shell that starts the cell."""


def reason(job: Job, written: str | None) -> str:
    """Return the reason why the job is over.

    Args:
        job: the job that is over.
        written: the content of the job's log file, which is not the output of the cell; None if there is no file.
    """
    state = job.state
    if state == "FAILED" and TOO_MUCH_MEMORY.search(written or ""):
        state = "OUT_OF_MEMORY"
    where = f" on {job.node}" if job.node else ""
    more = _of_start(job, written) if state == "FAILED" else NEXT_STEPS.get(state, "")
    return f"{ENDED.get(state) or _of_process(job)} (SLURM job {job.id}{where}: {state}){more}"


def _of_process(job: Job) -> str:
    code = os.waitstatus_to_exitcode(job.status)
    if -code == NO_OUTPUT:
        return "SLURM could not start it"
    if code >= 0:
        return f"its process ended with exit code {code}"
    return f"killed by {SIGNAL_NAMES.get(-code, f'signal {-code}')}"


def _of_start(job: Job, written: str | None) -> str:
    """Return a suffix that says why the cell could not start; empty if the output does not tell."""
    if written is None:
        return f"; it has no output: {job.node or 'its node'} has to see outputs_dir under the same name"
    said = [line for line in written.splitlines() if line.strip() and not line.startswith(DAEMON)]
    return f": {said[-1].strip()}" if said else ""
