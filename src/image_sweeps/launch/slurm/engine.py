"""The engine that runs the cells of a sweep as SLURM job arrays.

It uses SLURM's own commands. submitit 1.5 is unsuitable: it asks only `sacct` for the state of a job, and without
accounting waits forever for a job that was killed; it submits an array before the files that its tasks read are in
place; it ends a job in the middle of an epoch, and pickles. Its launcher for Hydra (1.2) composes every job again on
its node, waits for the results in order, and forgets its array when it dies.
"""

import logging
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from image_sweeps.launch.remote import Over, Running, State, Waiting
from image_sweeps.launch.slurm import queue
from image_sweeps.launch.slurm.arrays import Array, arrays
from image_sweeps.launch.slurm.options import SlurmOptions
from image_sweeps.launch.slurm.queue import Job, SlurmError
from image_sweeps.launch.slurm.reasons import reason
from image_sweeps.system.home import PACKAGE

WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"})
RUNNING = frozenset(
    {"COMPLETING", "CONFIGURING", "RESIZING", "RUNNING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED"}
)
LIVING = WAITING | RUNNING
"""The SLURM states of a job that is not over; a job in any other state is over."""

STOP = "INT"
"""The signal that asks a cell to stop after its epoch at the user's request: SLURM itself sends TERM."""

log = logging.getLogger(__name__)


class Slurm:
    """The engine of `image_sweeps.launch.remote` for SLURM.

    Args:
        options: the user's options for SLURM.
    """

    def __init__(self, options: SlurmOptions) -> None:
        self.options = options
        self.tasks: dict[str, tuple[Array, int]] = {}
        self.jobs: dict[tuple[str, int], Job] = {}
        self.polled_at: float | None = None
        self.submitted: set[str] = set()
        self.stopping: set[str] = set()
        self.warned: set[str] = set()

    @property
    def num_slots(self) -> int | None:
        return self.options.array_parallelism

    def start(self, folders: Sequence[Path]) -> None:
        """Submit the cells that are not in the queue, as one array or as several if SLURM's MaxArraySize requires it.

        A cell that this process submits again is over, even if its last job is still cleaning up.

        Raises:
            SlurmError: if SLURM does not accept all cells; then none of them is kept in the queue.
        """
        sweep = folders[0].parent
        for array in arrays(sweep):  # the last array that contains a cell counts
            self._remember(array)
        self._refresh()
        cells = [folder.name for folder in folders]
        missing = [cell for cell in cells if cell in self.submitted or not self._lives(cell)]
        self.submitted.update(cells)
        self.stopping.difference_update(missing)
        size = queue.max_array_size() if missing else 1
        try:
            for start in range(0, len(missing), size):
                self._queue(Array.of(sweep, missing[start : start + size]))
        except SlurmError:
            self.stopping.update(missing)
            self.close()
            raise
        self._refresh()

    def state(self, folder: Path) -> State:
        self._poll()
        job = self._job(folder.name)
        if job is None:
            return Over("SLURM's queue does not have it")
        if job.state in WAITING:
            return Waiting()
        if job.state in RUNNING:
            return Running(job.node)
        array, index = self.tasks[folder.name]
        log_file = array.log(index)
        return Over(reason(job, log_file.read_text(errors="replace") if log_file.exists() else None))

    def stop(self, folder: Path) -> None:
        """Stop the cell at the next poll of the queue, together with others: each SLURM command takes time."""
        self.stopping.add(folder.name)

    def kill(self, folder: Path) -> None:
        self._try(self._withdraw_waiting)
        if job := self._job(folder.name):
            self._try(queue.send, "KILL", [job.id])
            self._try(queue.cancel, [job.id])  # in case it waits, or returns to the queue

    def close(self) -> None:
        self._try(self._refresh)
        self._try(self._request_stops)

    def _remember(self, array: Array) -> None:
        self.tasks.update({cell: (array, index) for index, cell in enumerate(array.cells)})

    def _job(self, cell: str) -> Job | None:
        if cell not in self.tasks:
            return None
        array, index = self.tasks[cell]
        return self.jobs.get((array.name, index))

    def _lives(self, cell: str) -> bool:
        job = self._job(cell)
        return job is not None and job.state in LIVING

    def _queue(self, array: Array) -> None:
        """Submit an array. It is saved first, so that a later process can find it in the queue by its name."""
        array.save()
        tasks = f"0-{len(array.cells) - 1}"
        at_a_time = self.options.array_parallelism
        flags = [
            *self.options.flags,
            f"--array={tasks}" if at_a_time is None else f"--array={tasks}%{at_a_time}",
            f"--chdir={Path.cwd()}",
            f"--output={array.output}",
            "--open-mode=append",
        ]
        queue.submit(flags, array.name, len(array.cells), self._script(array))
        self._remember(array)

    def _script(self, array: Array) -> str:
        """Return the batch script. The cell's process replaces the shell, so that it receives SLURM's signals."""
        signal = ["--signal", self.options.signal] if self.options.requeue else []
        command = [
            sys.executable,
            "-m",
            "image_sweeps.launch.slurm.job",
            *signal,
            "--threads",
            str(self.options.cpus_per_task),
        ]
        return (
            "#!/bin/bash\n"
            f"export PYTHONPATH={shlex.quote(str(PACKAGE.parent))}${{PYTHONPATH:+:$PYTHONPATH}}\n"  # for a checkout
            f"cells=({' '.join(array.cells)})\n"
            f"exec {shlex.join(command)} {shlex.quote(str(array.sweep))}/${{cells[$SLURM_ARRAY_TASK_ID]}}\n"
        )

    def _poll(self) -> None:
        """Poll the queue, unless the last poll was within `poll_s`. If SLURM does not answer, keep the known states."""
        if self.polled_at is not None and time.monotonic() - self.polled_at < self.options.poll_s:
            return
        self.polled_at = time.monotonic()
        self._try(self._refresh)
        self._try(self._request_stops)

    def _refresh(self) -> None:
        """Update the states of the jobs that were not over."""
        tasks = ((array.name, self._job(cell)) for cell, (array, _) in self.tasks.items())
        names = {name for name, job in tasks if job is None or job.state in LIVING}
        jobs = queue.jobs(sorted(names))
        found = {(job.name, job.index): job for job in jobs if job.index is not None}
        cancelled = {job.name: job for job in jobs if job.index is None}
        for (name, index), job in self.jobs.items():
            if (name, index) not in found and job.state in LIVING:
                whole = cancelled.get(name)
                found[name, index] = queue.accounted(job) if whole is None else replace(whole, index=index)
        self.jobs.update(found)
        for job in found.values():
            if job.state in WAITING and "held" in job.reason.lower():
                self._warn_once(f"SLURM holds job {job.id} back ({job.reason}): scontrol release {job.id} lets it go")

    def _request_stops(self) -> None:
        """Stop the cells in `stopping`, again at every poll: a job that returns to the queue receives no signal."""
        self.stopping = {cell for cell in self.stopping if self._lives(cell)}
        if waiting := self._to_be_stopped(WAITING):
            queue.cancel(waiting)  # a job that has just begun gets TERM, and still finishes a short epoch
        if running := self._to_be_stopped(RUNNING):
            queue.send(STOP, running)

    def _withdraw_waiting(self) -> None:
        """Cancel the waiting jobs that are to stop: a killed job would make room for them."""
        if waiting := self._to_be_stopped(WAITING):
            queue.cancel(waiting)
            self._refresh()

    def _to_be_stopped(self, states: frozenset[str]) -> list[str]:
        """Return the ids of the jobs in any of these states whose cells are to stop."""
        jobs = [job for cell in sorted(self.stopping) if (job := self._job(cell))]
        return [job.id for job in jobs if job.state in states]

    def _try(self, act: Callable[..., object], *arguments: object) -> None:
        """Call `act`; if SLURM does not answer, warn and keep the known states."""
        try:
            act(*arguments)
        except SlurmError as error:
            self._warn_once(f"SLURM does not answer; its jobs go on meanwhile. {error}")

    def _warn_once(self, text: str) -> None:
        """Log each warning once."""
        if text not in self.warned:
            self.warned.add(text)
            log.warning(text)
