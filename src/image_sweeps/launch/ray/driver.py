"""The driver: the process that communicates with Ray for the process that runs the sweep.

It is separate because Ray takes over its process: Ray replaces the handler of SIGTERM, prints the events of its
workers, waits two minutes for a cluster that does not answer and then ends the process, and also ends it after losing
the cluster for a minute (observed with Ray 2.60). The sweep survives all of that, and ends with a report. In Ray, the
tasks of a driver end with it: nothing is left running after this process has ended, in whatever way.
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
"""Environment variables for Ray, each set only if the user has not set it."""


@dataclass(eq=False)
class RayTask:
    """A cell that was submitted to Ray.

    Attributes:
        folder: the folder of the cell.
        ref: the reference of the task; None if Ray did not accept it.
        num_losses: how often its worker died while the node survived.
        stopping: whether the cell must not be submitted again.
    """

    folder: Path
    ref: Any = None
    num_losses: int = 0
    stopping: bool = False


class Driver:
    """A driver that submits cells to the connected cluster and reports how they end.

    Args:
        task: a function that submits the task of the cell in a folder and returns its reference.
        max_losses: how often a cell is submitted again after only its worker died; -1 for always.
        tell: a function that receives each event.
    """

    def __init__(self, task: Callable[[str], Any], max_losses: int, tell: Callable[[Event], object]) -> None:
        self.task, self.max_losses, self.tell = task, max_losses, tell
        self.cells: dict[Path, RayTask] = {}
        self.events: queue.SimpleQueue[Command | tuple[RayTask, Any] | None] = queue.SimpleQueue()

    def run(self) -> None:
        """Process the events in the queue until None arrives."""
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
        except (ValueError, TypeError) as error:  # Ray checks some options only now
            self.tell(Ended(cell.folder, f"Ray does not take it: {error}"))
            return
        cell.ref.future().add_done_callback(lambda future: self.events.put((cell, future)))

    def _cancel(self, cell: RayTask, *, force: bool) -> None:
        import ray

        cell.stopping = True
        if cell.ref is None:  # Ray did not accept it
            return
        with suppress(ray.exceptions.RayError, ValueError):  # the task is over
            ray.cancel(cell.ref, force=force)

    def _conclude(self, cell: RayTask, future: Any) -> None:
        """Report that the cell is over, or submit it again, after its task has ended."""
        reason = self._why_put_back(cell, future)
        if reason is None or cell.stopping:
            (cell.folder / CellFile.WHERE).unlink(missing_ok=True)
            self.tell(Ended(cell.folder, self._why_over(future)))
            return
        self.tell(Noted(f"{reason}: what ran there goes on elsewhere, from its last epoch"))
        self._submit(cell)

    def _why_put_back(self, cell: RayTask, future: Any) -> str | None:
        """Return why the task ended if the cell did not cause it and may be submitted again, else None."""
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
        """Return the reason for a missing result."""
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
    """Connect, and run the cells that arrive through `channel` until it is closed: the process's main function.

    Args:
        setup: the settings of the connection.
        channel: the connection that sends events and receives commands.
        log: the file for Ray's output, in a folder of its own that is deleted at the end.
    """
    os.setsid()  # keeps a terminal's Ctrl-C and other group signals from Ray and its processes
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
        signal.signal(number, signal.SIG_IGN)  # this process ends when its channel is closed
    driver = Driver(task, setup.options.ray.remote.max_retries, channel.send)
    threading.Thread(target=_listen, args=(channel, driver), daemon=True).start()
    channel.send(connected)
    with suppress(BrokenPipeError):  # the sweep's process has gone
        driver.run()
    disconnect()
    shutil.rmtree(log.parent, ignore_errors=True)  # the sweep's process may be gone


def _listen(channel: "Channel[Event, Command]", driver: Driver) -> None:
    try:
        while True:
            driver.events.put(channel.recv())
    except Exception:  # the other end is closed, or its process was killed while sending
        driver.events.put(None)


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
