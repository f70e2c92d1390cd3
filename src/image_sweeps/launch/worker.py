"""What happens in a cell's process, from the fork to the outcome; the pool starts it and listens to it."""

import faulthandler
import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, Self

import torch
from hydra.core.utils import configure_log
from omegaconf import OmegaConf

from image_sweeps.cell.cell import Cell
from image_sweeps.cell.folders import CellFile
from image_sweeps.cell.listener import CellListener
from image_sweeps.cell.result import Result
from image_sweeps.cell.status import CellStatus
from image_sweeps.config.problems import ConfigError
from image_sweeps.fit.device import limit_threads
from image_sweeps.fit.epoch import Epoch
from image_sweeps.launch.slots import Slot
from image_sweeps.system import process_exit
from image_sweeps.system.console import redirect_output
from image_sweeps.system.files import write_text

GRACE_S = 1.0
"""A process whose time is up gets so long to write down where it hangs."""

Work = Callable[[Cell, Path, CellListener], object]
"""What is done with a cell, as `train_cell` does."""


@dataclass(frozen=True)
class HydraJob:
    """What Hydra's configuration says of the job of one cell.

    Attributes:
        logging: `hydra.job_logging`, resolved.
        verbose: `hydra.verbose`.
        environment: `hydra.job.env_set`.
    """

    logging: dict[str, Any]
    verbose: bool | str | list[str]
    environment: dict[str, str]

    def save(self, folder: Path) -> None:
        """Write it down beside the cell, for a process on another machine."""
        write_text(folder / CellFile.JOB, json.dumps(asdict(self)))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What was written down beside the cell of `folder`."""
        return cls(**json.loads((folder / CellFile.JOB).read_text()))

    def configure(self) -> None:
        """Do what it says, in the process of the cell."""
        os.environ.update(self.environment)
        configure_log(OmegaConf.create(self.logging), self.verbose)


@dataclass(frozen=True)
class Task:
    """One attempt at a cell.

    Attributes:
        folder: of the cell, which is saved there.
        slot: where it runs.
        work: what is done.
        hydra_job: where its log goes, and what else Hydra says.
        timeout_s: after how long the process writes down where it hangs; None for never.
    """

    folder: Path
    slot: Slot
    work: Work
    hydra_job: HydraJob
    timeout_s: float | None


@dataclass(frozen=True)
class TrainStart:
    """The cell is about to train; `num_done` epochs are behind it."""

    num_done: int


@dataclass(frozen=True)
class Failure:
    """The cell has failed; `text` says why, with a traceback where the error does not explain itself."""

    text: str


@dataclass(frozen=True)
class Notice:
    """Something that the user should know, and need not hear from every cell."""

    text: str


Message = TrainStart | Epoch | Failure | Notice


class Reporter(CellListener):
    """Tells the process that started this one how its cell gets on."""

    def __init__(self, channel: "Connection[Message, Message]") -> None:
        self.channel = channel
        self._stopped = False
        self._speaking = threading.Lock()

    def on_train_start(self, cell: Cell, num_done: int) -> None:
        self._say(TrainStart(num_done))

    def on_epoch_end(self, cell: Cell, epoch: Epoch) -> None:
        self._say(epoch)

    def on_failure(self, cell: Cell, text: str) -> None:
        self._say(Failure(text))

    def on_notice(self, text: str) -> None:
        self._say(Notice(text))

    @property
    def stop_requested(self) -> bool:
        """Whether SIGTERM has come."""
        return self._stopped

    def _say(self, message: Message) -> None:
        with self._speaking:  # records are delivered from a thread of its own
            self.channel.send(message)

    def stop(self, number: int, frame: FrameType | None) -> None:
        """As a signal's handler."""
        self._stopped = True


def train_cell(cell: Cell, folder: Path, listener: CellListener) -> None:
    """Make an attempt at the cell."""
    from image_sweeps.launch.attempt import run_attempt  # a second's worth, for which who starts cells need not wait

    run_attempt(cell, folder, listener)


def run(task: Task, channel: "Connection[Message, Message]") -> None:
    """Work on the cell. This is the whole life of the process."""
    process_exit.with_parent()
    keep_output(task.folder)
    reporter = Reporter(channel)
    _take_signals(reporter)
    take_slot(task.slot)
    if task.timeout_s is not None:
        faulthandler.dump_traceback_later(task.timeout_s)
    try:
        task.hydra_job.configure()
        if (cell := load_or_refuse(task.folder, reporter)) is not None:
            task.work(cell, task.folder, reporter)
    except Exception:
        channel.send(Failure(traceback.format_exc()))
        raise


def load_or_refuse(folder: Path, listener: CellListener) -> Cell | None:
    """Return the cell that is saved in `folder`; None where this machine lacks what it takes: then that has failed."""
    try:
        cell = Cell.load(folder)
    except ConfigError as error:
        reason = f"{socket.gethostname()} cannot run it: {'; '.join(error.problems)}"
        name = json.loads((folder / CellFile.CELL).read_text())["name"]
        Result(folder.name, name, CellStatus.FAILED, reason).save_first(folder)
        listener.on_notice(reason)
        return None
    assert cell is not None
    return cell


def hung(timeout_s: float) -> str:
    """The reason of a cell that took longer than it may."""
    return f"hung: not over after cell_timeout_s = {timeout_s:g}, and killed"


def keep_output(folder: Path) -> None:
    """Send what is written to standard output and error to a file in `folder`; a crash leaves its traceback there."""
    redirect_output(folder / CellFile.OUTPUT)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable()


def _take_signals(reporter: Reporter) -> None:
    """SIGTERM asks to stop after the epoch. A terminal's Ctrl-C comes to all; the parent knows what is to be done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, reporter.stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))  # the fork server holds them back


def take_slot(slot: Slot) -> None:
    """Use the slot's GPU and number of threads, before the first operation would take them all."""
    if slot.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = slot.gpu
    limit_threads(slot.num_threads)
    torch.set_num_interop_threads(slot.num_threads)
