"""The cells of a sweep in SLURM's queue, as job arrays.

By SLURM's own commands. submitit 1.5 would be in the way: it asks `sacct` alone for the state of a job, and without
accounting waits forever for one that was killed; it queues an array before the files are in place that its tasks read;
it ends a job in the midst of an epoch, and pickles. Its launcher for Hydra (1.2) composes every job again on its node,
waits for the results in order, and forgets its array when it dies.
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
"""SLURM's states; what is none of these is over."""

STOP = "INT"
"""Asks a cell to end its epoch, as the user wants it: SLURM itself sends TERM."""

log = logging.getLogger(__name__)


class Slurm:
    """An engine of `image_sweeps.launch.remote`.

    Args:
        options: what the user wants of SLURM.
    """

    def __init__(self, options: SlurmOptions) -> None:
        self.options = options
        self.tasks: dict[str, tuple[Array, int]] = {}
        self.jobs: dict[tuple[str, int], Job] = {}
        self.looked_at: float | None = None
        self.handed_over: set[str] = set()
        self.stopping: set[str] = set()
        self.told: set[str] = set()

    @property
    def num_slots(self) -> int | None:
        return self.options.array_parallelism

    def start(self, folders: Sequence[Path]) -> None:
        """Queue those of the cells that are not, as one array, or as many as SLURM's MaxArraySize makes of them.

        A cell that this process hands over once more is over, whatever its last job is still tidying up.

        Raises:
            SlurmError: where SLURM does not take them all; then it keeps none of them.
        """
        sweep = folders[0].parent
        for array in arrays(sweep):  # of a cell that is in several, the last one counts
            self._know(array)
        self._refresh()
        cells = [folder.name for folder in folders]
        missing = [cell for cell in cells if cell in self.handed_over or not self._lives(cell)]
        self.handed_over.update(cells)
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
        self._look()
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
        """With the next look at the queue, together with the others that are to stop: each command takes its time."""
        self.stopping.add(folder.name)

    def kill(self, folder: Path) -> None:
        self._try(self._keep_out)
        if job := self._job(folder.name):
            self._try(queue.send, "KILL", [job.id])
            self._try(queue.cancel, [job.id])  # as long as it waits, or goes back to the queue

    def close(self) -> None:
        self._try(self._refresh)
        self._try(self._stop_some)

    def _know(self, array: Array) -> None:
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
        """Hand an array over. It is known before it is there: whoever comes after this process finds it by its name."""
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
        self._know(array)

    def _script(self, array: Array) -> str:
        """What a node runs. The cell's process takes the place of the shell: SLURM's signals are for it."""
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
            f"export PYTHONPATH={shlex.quote(str(PACKAGE.parent))}${{PYTHONPATH:+:$PYTHONPATH}}\n"  # of a checkout
            f"cells=({' '.join(array.cells)})\n"
            f"exec {shlex.join(command)} {shlex.quote(str(array.sweep))}/${{cells[$SLURM_ARRAY_TASK_ID]}}\n"
        )

    def _look(self) -> None:
        """See what is in the queue, unless that was done just now. Where SLURM does not answer, nothing has changed."""
        if self.looked_at is not None and time.monotonic() - self.looked_at < self.options.poll_s:
            return
        self.looked_at = time.monotonic()
        self._try(self._refresh)
        self._try(self._stop_some)

    def _refresh(self) -> None:
        """See what is in the queue of what was not over."""
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
                self._tell(f"SLURM holds job {job.id} back ({job.reason}): scontrol release {job.id} lets it go")

    def _stop_some(self) -> None:
        """Ask those that are to stop, as long as they live: one may be on its way back into the queue, and deaf."""
        self.stopping = {cell for cell in self.stopping if self._lives(cell)}
        if waiting := self._asked_to_stop(WAITING):
            queue.cancel(waiting)  # one that has begun this moment ends its epoch too, if that is short: it gets TERM
        if running := self._asked_to_stop(RUNNING):
            queue.send(STOP, running)

    def _keep_out(self) -> None:
        """Take back those that wait and are to stop: what is killed makes room for them."""
        if waiting := self._asked_to_stop(WAITING):
            queue.cancel(waiting)
            self._refresh()

    def _asked_to_stop(self, states: frozenset[str]) -> list[str]:
        """The jobs of the cells that are to stop, in any of these states."""
        jobs = [job for cell in sorted(self.stopping) if (job := self._job(cell))]
        return [job.id for job in jobs if job.state in states]

    def _try(self, act: Callable[..., object], *arguments: object) -> None:
        """Where SLURM does not answer, nothing has changed."""
        try:
            act(*arguments)
        except SlurmError as error:
            self._tell(f"SLURM does not answer; its jobs go on meanwhile. {error}")

    def _tell(self, text: str) -> None:
        """Once."""
        if text not in self.told:
            self.told.add(text)
            log.warning(text)
