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
from collections.abc import Sequence
from pathlib import Path

from src.sweep.engines.slurm import queue
from src.sweep.engines.slurm.arrays import Array, arrays
from src.sweep.engines.slurm.options import SlurmOptions
from src.sweep.engines.slurm.queue import Job, SlurmError
from src.sweep.engines.slurm.reasons import reason
from src.sweep.remote import Over, Running, State, Waiting

WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"})
RUNNING = frozenset(
    {"COMPLETING", "CONFIGURING", "RESIZING", "RUNNING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED"}
)
"""SLURM's states; what is neither is over."""

STOP = "INT"
"""Asks a cell to end its epoch, as the user wants it: SLURM itself sends TERM."""

log = logging.getLogger(__name__)


class Slurm:
    """An engine of `src.sweep.remote`.

    Args:
        options: what the user wants of SLURM.
    """

    num_slots: int | None = None

    def __init__(self, options: SlurmOptions) -> None:
        self.options = options
        self.tasks: dict[str, tuple[Array, int]] = {}
        self.jobs: dict[tuple[str, int], Job] = {}
        self.looked_at: float | None = None
        self.stopping: list[Path] = []
        self.told: set[str] = set()

    def start(self, folders: Sequence[Path]) -> None:
        """Queue those of the cells that are not, as one array, or as many as SLURM's MaxArraySize makes of them.

        Raises:
            SlurmError: where SLURM does not take them.
        """
        sweep = folders[0].parent
        for array in arrays(sweep):  # of a cell that is in several, the last one counts
            self._know(array)
        self._refresh()
        missing = [folder.name for folder in folders if not self._lives(folder)]
        size = queue.max_array_size() if missing else 1
        for start in range(0, len(missing), size):
            self._queue(Array.of(sweep, missing[start : start + size]))
        self._refresh()

    def state(self, folder: Path) -> State:
        self._look()
        job = self._job(folder)
        if job is None:
            return Over("SLURM's queue does not have it")
        if job.state in WAITING:
            return Waiting()
        if job.state in RUNNING:
            return Running(job.node)
        array, index = self.tasks[folder.name]
        log_file = array.log(index)
        return Over(reason(job, log_file.read_text(errors="replace") if log_file.exists() else ""))

    def stop(self, folder: Path) -> None:
        """With the next look at the queue, together with the others that are to stop: each command takes its time."""
        self.stopping.append(folder)

    def kill(self, folder: Path) -> None:
        if job := self._job(folder):
            queue.send("KILL", [job.id])
            queue.cancel([job.id])  # as long as it waits, or goes back to the queue

    def close(self) -> None:
        self._stop_some()

    def _know(self, array: Array) -> None:
        self.tasks.update({cell: (array, index) for index, cell in enumerate(array.cells)})

    def _job(self, folder: Path) -> Job | None:
        if folder.name not in self.tasks:
            return None
        array, index = self.tasks[folder.name]
        return self.jobs.get((array.name, index))

    def _lives(self, folder: Path) -> bool:
        job = self._job(folder)
        return job is not None and job.state in WAITING | RUNNING

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
            "src.sweep.engines.slurm.job",
            *signal,
            "--threads",
            str(self.options.cpus_per_task),
        ]
        return (
            "#!/bin/bash\n"
            f"cells=({' '.join(array.cells)})\n"
            f"exec {shlex.join(command)} {shlex.quote(str(array.sweep))}/${{cells[$SLURM_ARRAY_TASK_ID]}}\n"
        )

    def _look(self) -> None:
        """See what is in the queue, unless that was done just now. Where SLURM does not answer, nothing has changed."""
        if self.looked_at is not None and time.monotonic() - self.looked_at < self.options.poll_s:
            return
        try:
            self._stop_some()
            self._refresh()
        except SlurmError as error:
            self._tell(f"SLURM does not answer; its jobs go on meanwhile. {error}")
            self.looked_at = time.monotonic()

    def _refresh(self) -> None:
        names = {array.name for array, _ in self.tasks.values()}
        found = {(job.name, job.index): job for job in queue.jobs(sorted(names))}
        gone = [key for key, job in self.jobs.items() if key not in found and job.state in WAITING | RUNNING]
        self.jobs.update(found)
        self.jobs.update({key: queue.accounted(self.jobs[key]) for key in gone})
        self.looked_at = time.monotonic()
        for job in found.values():
            if job.state in WAITING and "held" in job.reason.lower():
                self._tell(f"SLURM holds job {job.id} back ({job.reason}): scontrol release {job.id} lets it go")

    def _stop_some(self) -> None:
        ids = [job.id for folder in self.stopping if (job := self._job(folder))]
        self.stopping.clear()
        if ids:
            queue.take_back(ids)
            queue.send(STOP, ids)  # those that have begun in the meantime too

    def _tell(self, text: str) -> None:
        """Once."""
        if text not in self.told:
            self.told.add(text)
            log.warning(text)
