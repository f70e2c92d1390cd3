"""The SLURM commands that cells need. `squeue` is the source of truth for the state of the queue.

It also shows jobs that are over, for some minutes (`MinJobAge`); after that only `sacct` may, if there is accounting.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from image_sweeps.config.problems import ConfigError

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol")

TIMEOUT_S = 120
"""The timeout of a command in seconds. A busy controller lets its clients wait; their own timeouts are shorter."""

FIELDS = ",".join(f"{field}:|" for field in ("ArrayJobID", "ArrayTaskID", "Name", "State", "exit_code", "NodeList"))
"""The fields of `squeue`, each up to a bar. `jobs` adds the reason for waiting last: its text may contain anything."""

JOB_IS_OVER = re.compile(
    r"scancel: error: Kill job error on job id \S+: (Invalid job id specified|Job/step already completing or completed)"
)
"""The error message of `scancel` for a job that is over."""

DEFAULT_MAX_ARRAY_SIZE = 1001
"""SLURM's default, used if its configuration does not show the value."""


class SlurmError(Exception):
    """A failure of a SLURM command; the message is the command's own, or names the command."""


@dataclass(frozen=True)
class Job:
    """A task of an array, as `squeue` shows it, or all tasks of the array that were cancelled while they waited.

    Attributes:
        array: the job id of the array.
        index: the index of the task in the array, from 0; None for all cancelled tasks together.
        name: the name of the array.
        state: the state in SLURM's long form, such as RUNNING.
        status: the status with which its batch script ended, as in wait(2); 0 before the end.
        node: the node where the task runs or ran; empty before that.
        reason: why the task waits, in SLURM's words.
    """

    array: int
    index: int | None
    name: str
    state: str
    status: int
    node: str
    reason: str

    @property
    def id(self) -> str:
        """The id of the task for SLURM's commands."""
        return f"{self.array}_{self.index}"


def check(flags: Sequence[str]) -> None:
    """Check that SLURM would accept a job with these flags.

    Raises:
        ConfigError: if SLURM would not accept the job, or its commands are missing.
    """
    if missing := [command for command in COMMANDS if shutil.which(command) is None]:
        raise ConfigError(
            [
                f"hydra/launcher = 'slurm': {', '.join(missing)} not found in PATH; start the sweep where SLURM's "
                "commands are, on a login node of the cluster, or with hydra/launcher=pool on this machine alone"
            ]
        )
    try:
        _run("sbatch", "--test-only", *flags, text="#!/bin/sh\n")
    except SlurmError as error:
        raise ConfigError([f"hydra/launcher = 'slurm': SLURM does not take such jobs: {error}"]) from None


def submit(flags: Sequence[str], name: str, num_tasks: int, script: str) -> None:
    """Submit an array. It is in the queue when this returns, or not at all.

    Args:
        flags: the flags of `sbatch`.
        name: the unique name of the array: a controller that is too busy to answer in time may still have accepted it.
        num_tasks: the number of tasks; their indices begin at 0.
        script: the batch script that a node runs.

    Raises:
        SlurmError: if SLURM does not accept the array.
    """
    try:
        _run("sbatch", "--parsable", *flags, f"--job-name={name}", text=script)
    except SlurmError:
        if len(jobs([name])) < num_tasks:
            raise


def jobs(names: Sequence[str]) -> list[Job]:
    """Return the tasks of the arrays with these names that SLURM knows, including tasks that are over.

    Raises:
        SlurmError: if `squeue` fails.
    """
    if not names:
        return []
    chosen = f"--name={','.join(names)}"
    shown = _run("squeue", "--noheader", "--array", "--states=all", chosen, f"--Format={FIELDS},Reason:|")
    found = []
    for line in shown.splitlines():
        array, index, name, state, status, node, reason = line.removesuffix("|").split("|", 6)
        number = int(index) if index.isdecimal() else None
        found.append(Job(int(array), number, name, state, int(status), node, reason))
    return found


def accounted(job: Job) -> Job:
    """Return a job that `squeue` has forgotten, as accounting reports it; without accounting, its state is UNKNOWN.

    `squeue` forgets a job after `MinJobAge`, and at once if it is a single task that was cancelled while it waited.
    """
    state, status = "UNKNOWN", 0
    if shutil.which("sacct"):
        with suppress(SlurmError):  # no accounting here, or it does not answer
            command = ("sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={job.id}")
            told = re.match(r"(\w+).*\|(\d+):(\d+)", _run(*command, "--format=State,ExitCode"))
            if told:
                state, status = told[1], int(told[2]) << 8 | int(told[3])
    return replace(job, state=state, status=status)


def send(signal: str, job_ids: Sequence[str]) -> None:
    """Send a signal to the batch scripts of the running jobs, and to nothing else.

    Without `--batch`, KILL would not be a signal but a request to end the job, which SLURM does after `KillWait`.
    """
    _cancel("--batch", f"--signal={signal}", "--state=RUNNING", *job_ids)


def cancel(job_ids: Sequence[str]) -> None:
    """Cancel jobs in any state; SLURM decides when they end.

    A job cannot be cancelled only if it waits: with `--state=PENDING`, all other tasks of its array that have not begun
    are cancelled too (22.05).
    """
    _cancel(*job_ids)


def _cancel(*arguments: str) -> None:
    """Run `scancel` and ignore its errors about jobs that are over; an error does not keep it from the other jobs."""
    try:
        _run("scancel", *arguments)
    except SlurmError as error:
        if JOB_IS_OVER.sub("", str(error)).strip():
            raise


def max_array_size() -> int:
    """Return the maximum number of tasks of an array."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _run("scontrol", "show", "config"), re.MULTILINE)
    return int(found[1]) if found else DEFAULT_MAX_ARRAY_SIZE


def requeue(job_id: str) -> None:
    """End a job and put it back into the queue.

    Args:
        job_id: the id of a task, with its index. The last task of an array has the number of the array as its own job
            id; with that number, SLURM would run all tasks again, including tasks that are over (22.05).
    """
    _run("scontrol", "requeue", job_id)


def _run(*command: str, text: str = "") -> str:
    """Run a command and return its output. A Ctrl-C in the terminal does not reach it: it may be in mid-operation.

    Raises:
        SlurmError: if the command fails or does not answer in time.
    """
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            start_new_session=True,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]} did not answer within {TIMEOUT_S} s") from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"{command[0]} ended with exit code {done.returncode}"
        raise SlurmError(said)
    return done.stdout
