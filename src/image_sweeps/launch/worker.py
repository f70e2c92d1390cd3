"""The process of a cell, from the fork to the result. The pool starts it and receives its messages."""

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
"""The seconds between the timeout of a process and its kill, in which it dumps its traceback."""

Work = Callable[[Cell, Path, CellListener], object]
"""A function that processes a cell, such as `train_cell`."""


@dataclass(frozen=True)
class HydraJob:
    """Hydra's settings for the job of one cell.

    Attributes:
        logging: `hydra.job_logging`, resolved.
        verbose: `hydra.verbose`.
        environment: `hydra.job.env_set`.
    """

    logging: dict[str, Any]
    verbose: bool | str | list[str]
    environment: dict[str, str]

    def save(self, folder: Path) -> None:
        """Save the settings in the folder of the cell, for a process on another machine."""
        write_text(folder / CellFile.JOB, json.dumps(asdict(self)))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load the settings that were saved in the folder of a cell."""
        return cls(**json.loads((folder / CellFile.JOB).read_text()))

    def configure(self) -> None:
        """Apply the settings in the process of the cell."""
        os.environ.update(self.environment)
        configure_log(OmegaConf.create(self.logging), self.verbose)


@dataclass(frozen=True)
class Task:
    """One attempt at a cell.

    Attributes:
        folder: the folder in which the cell is saved.
        slot: the slot in which the cell runs.
        work: the function that is applied to the cell.
        hydra_job: Hydra's settings for the job, such as its logging.
        timeout_s: the seconds after which the process dumps its traceback; None for never.
    """

    folder: Path
    slot: Slot
    work: Work
    hydra_job: HydraJob
    timeout_s: float | None


@dataclass(frozen=True)
class TrainStart:
    """The message that training begins, after `num_done` completed epochs."""

    num_done: int


@dataclass(frozen=True)
class Failure:
    """The message that the cell has failed; `text` is the reason, with a traceback unless the error explains itself."""

    text: str


@dataclass(frozen=True)
class Notice:
    """A message for the user, who needs to see it only once and not from every cell."""

    text: str


Message = TrainStart | Epoch | Failure | Notice


class Reporter(CellListener):
    """A listener that sends the progress of its cell to the parent process."""

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
        """Whether SIGTERM has been received."""
        return self._stopped

    def _say(self, message: Message) -> None:
        with self._speaking:  # the thread that delivers records sends notices too
            self.channel.send(message)

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Request a stop, as the handler of a signal."""
        self._stopped = True


def train_cell(cell: Cell, folder: Path, listener: CellListener) -> None:
    """Make one attempt at training the cell."""
    from image_sweeps.launch.attempt import run_attempt  # takes a second, which the parent process saves

    run_attempt(cell, folder, listener)


def run(task: Task, channel: "Connection[Message, Message]") -> None:
    """Process the cell of `task`. This is the main function of the process."""
    process_exit.with_parent()
    redirect_to_output_file(task.folder)
    reporter = Reporter(channel)
    _take_signals(reporter)
    apply_slot(task.slot)
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
    """Return the cell saved in `folder`. If this machine cannot run it, save a failed result and return None."""
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
    """Return the failure reason of a cell that exceeded its timeout."""
    return f"hung: not over after cell_timeout_s = {timeout_s:g}, and killed"


def redirect_to_output_file(folder: Path) -> None:
    """Redirect standard output and standard error to a file in `folder`; a crash writes its traceback there."""
    redirect_output(folder / CellFile.OUTPUT)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable()


def _take_signals(reporter: Reporter) -> None:
    """Stop after the epoch on SIGTERM. Ignore SIGINT: a Ctrl-C reaches all processes, and the parent handles it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, reporter.stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))  # the fork server blocks them


def apply_slot(slot: Slot) -> None:
    """Use only the slot's GPU and number of threads; the first operation would otherwise take all of them."""
    if slot.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = slot.gpu
    limit_threads(slot.num_threads)
    torch.set_num_interop_threads(slot.num_threads)
