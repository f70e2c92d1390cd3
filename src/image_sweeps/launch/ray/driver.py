"""The process that talks to Ray, for the one that runs the sweep.

It is apart because Ray takes over the process that it is in: it replaces the handler of SIGTERM, prints what befalls
its workers, waits two minutes for a cluster that does not answer and then ends the process, as it does when it has lost
the cluster for a minute (seen with Ray 2.60). So the sweep outlives all of that, and ends with a report. Ray's rule is
that the tasks of a driver end with it: nothing is left running where this process has gone, in whichever way.
"""

import os
import queue
import shutil
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection as Channel
from pathlib import Path
from typing import Any

from image_sweeps.cell.folders import CellFile
from image_sweeps.config.problems import ConfigError
from image_sweeps.launch.ray.messages import Command, Ended, Event, Kill, Noted, Refused, Setup, Start, Stop
from image_sweeps.system.console import redirect_output

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run` it would send a copy of the folder to every node
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # or it warns that this will be the default
}
"""Ray's settings where the user has others in mind."""


@dataclass(eq=False)
class RayTask:
    """A cell that Ray has.

    Attributes:
        folder: the cell's own.
        ref: of the task.
        num_losses: how often its worker died while the node lived.
        stopping: whether it is not to be put back.
    """

    folder: Path
    ref: Any = None
    num_losses: int = 0
    stopping: bool = False


class Driver:
    """Hands cells to a cluster that it is connected to, and tells what becomes of them.

    Args:
        task: takes the folder of a cell, and gives the reference of its task.
        max_losses: how often a cell goes on whose worker died alone; -1 for always.
        tell: is told what happens.
    """

    def __init__(self, task: Callable[[str], Any], max_losses: int, tell: Callable[[Event], object]) -> None:
        self.task, self.max_losses, self.tell = task, max_losses, tell
        self.cells: dict[Path, RayTask] = {}
        self.events: queue.SimpleQueue[Command | tuple[RayTask, Any] | None] = queue.SimpleQueue()

    def run(self) -> None:
        """Do what comes, until None does."""
        while (event := self.events.get()) is not None:
            match event:
                case Start(folder):
                    self.cells[folder] = RayTask(folder)
                    self._submit(self.cells[folder])
                case Stop(folder) if not self.cells[folder].stopping:
                    self._cancel(self.cells[folder], force=False)
                case Kill(folder):
                    self._cancel(self.cells[folder], force=True)
                case (RayTask() as cell, future):
                    self._conclude(cell, future)

    def _submit(self, cell: RayTask) -> None:
        (cell.folder / CellFile.WHERE).unlink(missing_ok=True)
        try:
            cell.ref = self.task(str(cell.folder))
        except (ValueError, TypeError) as error:  # what Ray minds only now
            self.tell(Ended(cell.folder, f"Ray does not take it: {error}"))
            return
        cell.ref.future().add_done_callback(lambda future: self.events.put((cell, future)))

    def _cancel(self, cell: RayTask, *, force: bool) -> None:
        import ray

        cell.stopping = True
        if cell.ref is None:  # Ray did not take it
            return
        with suppress(ray.exceptions.RayError, ValueError):  # it is over
            ray.cancel(cell.ref, force=force)

    def _conclude(self, cell: RayTask, future: Any) -> None:
        """The task is over: so is the cell, or it is put back."""
        reason = self._why_put_back(cell, future)
        if reason is None or cell.stopping:
            (cell.folder / CellFile.WHERE).unlink(missing_ok=True)
            self.tell(Ended(cell.folder, self._why_over(future)))
            return
        self.tell(Noted(f"{reason}: what ran there goes on elsewhere, from its last epoch"))
        self._submit(cell)

    def _why_put_back(self, cell: RayTask, future: Any) -> str | None:
        """What befell it that it is not to blame for."""
        from ray.exceptions import NodeDiedError, TaskCancelledError, WorkerCrashedError

        where = _read(cell.folder / CellFile.WHERE) or "a node"
        match future.exception():
            case None:
                return f"a cell was interrupted on {where}" if future.result() else None
            case NodeDiedError():
                return f"Ray has lost {where}"
            case WorkerCrashedError() if self.max_losses == -1 or cell.num_losses < self.max_losses:
                cell.num_losses += 1
                return f"a worker of Ray's died on {where}"
            case TaskCancelledError():
                return f"a task of Ray's was cancelled on {where}"
        return None

    def _why_over(self, future: Any) -> str:
        """The reason, where it has left no result."""
        from ray.exceptions import OutOfMemoryError, RayTaskError, TaskCancelledError, WorkerCrashedError

        match future.exception():
            case None:
                return "its process ended and left no result"
            case TaskCancelledError():
                return "taken back"
            case OutOfMemoryError() as error:
                return (
                    f"killed by Ray's memory monitor: {str(error).split(' killed due to ')[-1].splitlines()[0]}. Fewer "
                    "cells run side by side on a node with more of hydra.launcher.ray.remote.num_cpus or memory"
                )
            case WorkerCrashedError():
                return f"its worker of Ray's died {self.max_losses + 1} times (hydra.launcher.ray.remote.max_retries)"
            case RayTaskError() as error:
                return str(error).strip().splitlines()[-1]
            case error:
                return f"{type(error).__name__}: {str(error).strip()}"


def drive(setup: Setup, channel: "Channel[Event, Command]", log: Path) -> None:
    """Connect, and run the cells that come through `channel`, until it is closed. The whole life of the process.

    Args:
        setup: what to connect to.
        channel: for events and commands.
        log: where goes what Ray prints, in a folder of its own.
    """
    os.setsid()  # a terminal's Ctrl-C, and what else comes to all, is not for Ray and its processes
    redirect_output(log, mode=0o600)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from image_sweeps.launch.ray.cluster import connect, disconnect

    try:
        connected, task = connect(setup)
    except ConfigError as error:
        channel.send(Refused(error.problems))
        disconnect()
        shutil.rmtree(log.parent, ignore_errors=True)
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # whoever wants this process to end closes the channel
    driver = Driver(task, setup.options.ray.remote.max_retries, channel.send)
    threading.Thread(target=_listen, args=(channel, driver), daemon=True).start()
    channel.send(connected)
    with suppress(BrokenPipeError):  # the sweep's process has gone
        driver.run()
    disconnect()
    shutil.rmtree(log.parent, ignore_errors=True)  # the sweep's process may not be there to do it


def _listen(channel: "Channel[Event, Command]", driver: Driver) -> None:
    try:
        while True:
            driver.events.put(channel.recv())
    except Exception:  # the other end is closed, or its process was killed within a message
        driver.events.put(None)


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
