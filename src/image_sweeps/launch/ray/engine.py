"""The engine that runs the cells of a sweep in a Ray cluster."""

import atexit
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection as Channel
from pathlib import Path
from typing import Self

from image_sweeps.cell.folders import CellFile
from image_sweeps.config.options import LAUNCHER
from image_sweeps.config.problems import ConfigError
from image_sweeps.config.schema import Config
from image_sweeps.launch.finalize import last_lines
from image_sweeps.launch.ray.driver import drive
from image_sweeps.launch.ray.messages import Command, Connected, Ended, Event, Kill, Noted, Refused, Setup, Start, Stop
from image_sweeps.launch.ray.options import RayOptions
from image_sweeps.launch.remote import Over, Running, State, Waiting
from image_sweeps.launch.worker import Work, train_cell

CONNECT_S = 180.0
"""The seconds that starting a cluster, or reaching one and checking its nodes, may take."""

END_S = 20.0
"""The seconds that Ray may take to end."""


class Connection:
    """A connection to the driver process, which lives no longer than the sweep's process.

    Args:
        setup: the settings of the connection.
        patience_s: how long connecting may take, in seconds.

    Attributes:
        num_slots: how many cells fit in the cluster at a time.

    Raises:
        ConfigError: if the cluster cannot be used.
    """

    def __init__(self, setup: Setup, patience_s: float = CONNECT_S) -> None:
        folder = tempfile.TemporaryDirectory(prefix="ray-")
        self.log = Path(folder.name) / "driver.log"
        self._folder = folder
        context = multiprocessing.get_context("spawn")
        self.channel: Channel[Command, Event]
        self.channel, theirs = context.Pipe()
        self.process = context.Process(target=drive, args=(setup, theirs, self.log), name="ray", daemon=True)
        self.process.start()
        theirs.close()
        atexit.register(self.close)
        self.setup = setup
        self.num_slots = self._connected(patience_s)

    @classmethod
    def to(cls, options: RayOptions, configs: Sequence[Config], work: Work = train_cell) -> Self:
        """Connect to the cluster for cells with these configurations.

        Raises:
            ConfigError: if the configurations or the cluster cannot be used.
        """
        return cls(setup_of(options, configs, work))

    def _connected(self, patience_s: float) -> int:
        problem = f"did not answer within {patience_s:g} s"
        try:
            if self.channel.poll(patience_s):
                match self.channel.recv():
                    case Connected(num_slots):
                        return num_slots
                    case Refused(problems):
                        self.close()
                        raise ConfigError(problems)
        except EOFError:
            problem = self.how_it_ended()
        self.process.kill()
        raise ConfigError([f"{LAUNCHER}.ray.init, with address = {self.setup.options.ray.init.address!r}: {problem}"])

    def send(self, command: Command) -> None:
        """Send a command to the driver. If the driver has ended, the next attempt to receive reveals it."""
        with suppress(OSError):
            self.channel.send(command)

    @property
    def alive(self) -> bool:
        """Whether the driver process is running."""
        return self.process.is_alive()

    def how_it_ended(self) -> str:
        """Return a message with the exit code of the driver and the last line of Ray's output."""
        self.process.join()
        said = last_lines(self.log).splitlines()[-1:]
        code = self.process.exitcode
        return " ".join([f"the cluster is lost: the process that talked to Ray ended with exit code {code}.", *said])

    def close(self) -> None:
        """End the running cells and the driver, and the cluster if it was started for the sweep."""
        atexit.unregister(self.close)
        self.channel.close()
        self.process.join(END_S)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        self._folder.cleanup()


def setup_of(options: RayOptions, configs: Sequence[Config], work: Work = train_cell) -> Setup:
    """Return the settings of the connection for cells with these configurations.

    Raises:
        ConfigError: if the cells cannot run in a cluster.
    """
    devices = {config.device for config in configs}
    numbered = sorted(device for device in devices if device.startswith("cuda:"))
    if numbered:
        raise ConfigError(
            [f"device = {numbered[0]!r}: Ray gives a cell its GPU, and it sees no other; device=cuda takes it"]
        )
    wants_gpu = True if "cuda" in devices else None if "auto" in devices else False
    return Setup(options, wants_gpu, configs[0].outputs_dir.resolve(), f"{work.__module__}:{work.__qualname__}")


class Ray:
    """The engine of `image_sweeps.launch.remote` for Ray.

    Args:
        connection: the connection to the driver.
        note: a function that shows a message to the user.
    """

    def __init__(self, connection: Connection, note: Callable[[str], object]) -> None:
        self.connection, self.note = connection, note
        self.num_slots = connection.num_slots or None  # unknown for a cluster that has yet to grow
        self.ended: dict[Path, str | None] = {}
        self.noted: set[str] = set()
        self.lost: str | None = None

    def start(self, folders: Sequence[Path]) -> None:
        for folder in folders:
            self.ended[folder] = None
            self.connection.send(Start(folder))

    def state(self, folder: Path) -> State:
        self._hear()
        reason = self.ended[folder] or self.lost
        if reason is not None:
            return Over(reason)
        try:
            return Running((folder / CellFile.WHERE).read_text())
        except OSError:
            return Waiting()

    def stop(self, folder: Path) -> None:
        self.connection.send(Stop(folder))

    def kill(self, folder: Path) -> None:
        self.connection.send(Kill(folder))

    def close(self) -> None:
        """Kill the cells that have not ended, and wait for them: a withdrawn cell may have begun in the meantime."""
        for folder in self._left():
            self.kill(folder)
        deadline = time.monotonic() + END_S
        while self._left() and time.monotonic() < deadline:
            self.connection.channel.poll(deadline - time.monotonic())
            self._hear()

    def _left(self) -> list[Path]:
        return [] if self.lost else [folder for folder, reason in self.ended.items() if reason is None]

    def _hear(self) -> None:
        """Process the events that have arrived since the last call."""
        try:
            while self.lost is None and self.connection.channel.poll():
                match self.connection.channel.recv():
                    case Ended(folder, reason):
                        self.ended[folder] = reason
                    case Noted(text) if text not in self.noted:
                        self.noted.add(text)
                        self.note(text)
        except (EOFError, OSError):
            self.lost = self.connection.how_it_ended()
