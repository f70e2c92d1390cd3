"""What cells of the pool's tests do in their processes. Which of the faults a cell has, its seed says."""

import faulthandler
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import torch
from threadpoolctl import threadpool_info

from image_sweeps.cell.result import Result
from image_sweeps.cell.status import CellStatus
from image_sweeps.launch.attempt import run_attempt
from image_sweeps.tracking.delivery import StoreUnavailableError, deliver
from image_sweeps.tracking.journal import Journal
from image_sweeps.tracking.store import StoreError, open_store
from tests.support.waiting import until


def finish(cell, folder, listener=None):
    Result(cell.id, cell.name, CellStatus.FINISHED).save(folder)


def note(folder, name, **facts):
    (folder / name).write_text(json.dumps(facts))


def siblings(folder, name):
    return list(folder.parent.glob(f"*/{name}"))


def begin_run(cell, folder):
    journal = Journal(folder)
    tags = {"kind": "cell", "cell": cell.id, "sweep": cell.sweep.id}
    journal.begin(cell.name, tags, cell.config.tracking, nested=True)
    with suppress(StoreUnavailableError, StoreError):
        deliver(journal, open_store(cell.config))


def hang():
    print("hanging here", flush=True)
    threading.Event().wait()


def raise_error():
    raise ValueError("not this one")


def write_much_and_die():
    print("\n".join(f"line {number}" for number in range(1000)))
    os._exit(4)


FAULTS = {
    1: raise_error,
    2: partial(sys.exit, 3),
    3: write_much_and_die,
    4: partial(signal.raise_signal, signal.SIGKILL),
    5: faulthandler._sigsegv,
    6: hang,
    7: partial(signal.raise_signal, signal.SIGSTOP),
    8: partial(os._exit, 0),
}


def fail_by_seed(cell, folder, listener):
    begin_run(cell, folder)
    FAULTS.get(cell.config.seed, lambda: None)()
    finish(cell, folder)


def overlap(cell, folder, listener, num_slots):
    """Not over before as many cells have started as there are slots."""
    started = time.monotonic()
    note(folder, "started")
    until(lambda: len(siblings(folder, "started")) >= num_slots)
    note(folder, "span", started=started, ended=time.monotonic())
    finish(cell, folder)


def first_waits_for_all_others(cell, folder, listener):
    if cell.config.seed == 0:
        num_others = cell.sweep.num_cells - 1
        until(lambda: len(siblings(folder, "result.json")) == num_others)
    finish(cell, folder)


def first_waits_for_what_comes_after(cell, folder, listener):
    if cell.config.seed == 0:
        until((folder.parent / "prepared").exists)
    finish(cell, folder)


def tell_threads(cell, folder, listener):
    images = torch.rand(8, 3, 32, 32)
    for _ in range(3):  # enough work for every thread
        torch.nn.functional.conv2d(images, torch.rand(16, 3, 3, 3))
        torch.rand(400, 400) @ torch.rand(400, 400)
    note(
        folder,
        "threads",
        torch=torch.get_num_threads(),
        interop=torch.get_num_interop_threads(),
        blas=[pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"],
    )
    finish(cell, folder)


def tell_start(cell, folder, listener):
    """What a process is born with, and what it imports all the same."""
    facts = {
        "server_threads": len(list(Path(f"/proc/{os.getppid()}/task").iterdir())),
        "cuda_started": torch.cuda.is_initialized(),
        "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "said": os.environ.get("SAID"),
    }
    before = set(sys.modules)
    run_attempt(cell, folder, listener)
    note(folder, "facts", **facts, imported=sorted(set(sys.modules) - before))


class AfterEpoch:
    """Does something after each epoch, and passes on what it is told."""

    def __init__(self, listener, act):
        self.listener, self.act = listener, act

    def __getattr__(self, name):
        return getattr(self.listener, name)

    def on_epoch_end(self, cell, epoch):
        self.listener.on_epoch_end(cell, epoch)
        self.act(epoch)


def signal_parent():
    os.kill(multiprocessing.parent_process().pid, signal.SIGINT)


def interrupt_once(cell, folder, listener):
    """The real work; after its second epoch, the first cell presses Ctrl-C."""
    first = cell.config.seed == 0
    run_attempt(
        cell, folder, AfterEpoch(listener, lambda epoch: signal_parent() if first and epoch.number == 2 else None)
    )


def interrupt_twice(cell, folder, listener):
    """Deaf to the wish to stop; the first cell presses Ctrl-C again when it has been passed on to it."""
    begin_run(cell, folder)
    note(folder, "started", pid=os.getpid())
    until(lambda: len(siblings(folder, "started")) == 2)
    if cell.config.seed == 0:
        signal_parent()
        until(lambda: listener.stop_requested)
        signal_parent()
    hang()


def kill_server(cell, folder, listener):
    """The first cell does, and neither ends nor is ended by that."""
    if cell.config.seed == 0:
        note(folder, "started", pid=os.getpid())
        os.kill(os.getppid(), signal.SIGKILL)
        hang()
    finish(cell, folder)


def run_forever(cell, folder, listener):
    note(folder, "started", pid=os.getpid(), server=os.getppid())
    hang()
