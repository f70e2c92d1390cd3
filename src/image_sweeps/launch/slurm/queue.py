"""SLURM's commands, as far as cells need them. `squeue` is the source of truth for what is in the queue.

It tells of jobs that are over too, for some minutes (`MinJobAge`); after that only `sacct` may, where there is
accounting.
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
"""A controller that is busy lets its clients wait; their own patience is over before that."""

FIELDS = ",".join(f"{field}:|" for field in ("ArrayJobID", "ArrayTaskID", "Name", "State", "exit_code", "NodeList"))
"""Of `squeue`, each up to a bar, and last why a job waits, in words that may hold anything."""

OVER = re.compile(
    r"scancel: error: Kill job error on job id \S+: (Invalid job id specified|Job/step already completing or completed)"
)
"""What `scancel` says of a job that is over."""

DEFAULT_MAX_ARRAY_SIZE = 1001
"""SLURM's, where it does not say."""


class SlurmError(Exception):
    """A command of SLURM's did not do what it was asked; says which and why, in its words."""


@dataclass(frozen=True)
class Job:
    """A task of an array, as `squeue` shows it, or all those at once that were cancelled while they waited.

    Attributes:
        array: the number of the array.
        index: in it, from 0; None of all those.
        name: of the array.
        state: in SLURM's long form, as in RUNNING.
        status: with which its batch script ended, as wait(2) says it; 0 before that.
        node: where it runs or ran; empty before that.
        reason: why it waits, in SLURM's words.
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
        """As SLURM's commands take it."""
        return f"{self.array}_{self.index}"


def check(flags: Sequence[str]) -> None:
    """Ask SLURM whether it would take a job with these flags.

    Raises:
        ConfigError: where it would not, or is not there.
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
    """Queue an array. It is in the queue when this returns, or not at all.

    Args:
        flags: of `sbatch`.
        name: that no other array has: a controller that is too busy to answer in time may have taken it all the same.
        num_tasks: whose indices begin at 0.
        script: what a node runs.

    Raises:
        SlurmError: where SLURM does not take it.
    """
    try:
        _run("sbatch", "--parsable", *flags, f"--job-name={name}", text=script)
    except SlurmError:
        if len(jobs([name])) < num_tasks:
            raise


def jobs(names: Sequence[str]) -> list[Job]:
    """The tasks of the arrays with these names that SLURM knows, those that are over included.

    Raises:
        SlurmError: where it does not tell.
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
    """A job that `squeue` has forgotten, as SLURM's accounting tells of it; without any, in the state UNKNOWN.

    It forgets after `MinJobAge`, and at once a single task that is cancelled while it waits.
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
    """Send a signal to the batch scripts of those that run, and to nothing else.

    Without `--batch`, KILL would be no signal but the wish to end the job, which SLURM grants after `KillWait`.
    """
    _cancel("--batch", f"--signal={signal}", "--state=RUNNING", *job_ids)


def cancel(job_ids: Sequence[str]) -> None:
    """End jobs, whatever they are at, in SLURM's time.

    There is no way to say: only if it waits. With `--state=PENDING` one task takes all others of its array with it that
    have not begun (22.05).
    """
    _cancel(*job_ids)


def _cancel(*arguments: str) -> None:
    """A job that is over is no matter; `scancel` says of the others what it could not do, and does the rest."""
    try:
        _run("scancel", *arguments)
    except SlurmError as error:
        if OVER.sub("", str(error)).strip():
            raise


def max_array_size() -> int:
    """How many tasks an array may have."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _run("scontrol", "show", "config"), re.MULTILINE)
    return int(found[1]) if found else DEFAULT_MAX_ARRAY_SIZE


def requeue(job_id: str) -> None:
    """End a job, and let it wait in the queue again.

    Args:
        job_id: of a task, with its index: the last task of an array has the number of the array for one of its own, and
            by that number all tasks would be run again, those that are over included (22.05).
    """
    _run("scontrol", "requeue", job_id)


def _run(*command: str, text: str = "") -> str:
    """What a command writes. A Ctrl-C in the terminal is not for it, since it may be in the midst of something.

    Raises:
        SlurmError: where it fails.
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
