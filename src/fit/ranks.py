"""The processes of a cell that trains on several devices: how they begin, follow rank 0, and end, whoever dies.

Rank 0 is the cell's own process, which is listened to, asked to stop, timed and recorded as that of any other cell. It
starts the others itself: torchrun's agent would stand between, take the signals, and start all of them again when one
fails. Where torchrun or a scheduler has started one process a device, those are taken.

Only rank 0 writes. What is told to the others is JSON, tensors and plain containers, so that hearing it runs no code.
"""

import ctypes
import json
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.distributed as dist

from src import leaving
from src.config import Config
from src.fit.device import choose, choose_nth, make_repeatable
from src.fit.memory import out_of_memory
from src.fit.parallel import ALONE, OVER, World
from src.interrupt import Interrupted
from src.torchrun import Started

if TYPE_CHECKING:  # a build of torch may have no torch.distributed, and trains on one device all the same
    from torch._C._distributed_c10d import Store

    from src.fit.loop import Training

CONTEXT = multiprocessing.get_context("spawn")  # a fork would have neither its parent's threads nor its CUDA

TIMEOUT = timedelta(minutes=10)
"""A rank that the others have waited for so long hangs."""

UNTIL_BEGUN = timedelta(days=7)
"""So long other ranks wait for rank 0 at most, which may have to download and decode. They end when it does."""

POLL_S = 0.02
"""How often is looked whether the other ranks are ready."""

SETTLED_S = 3.0
"""How long it may take until is known which rank has failed, once one does not answer."""

GRACE_S = 10.0
"""How long ranks have to end by themselves, when they are told that it is over."""

NOT_FOR_OTHERS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
"""Signals that ask to stop, which rank 0 is to make something of: all processes of a terminal or a job may get them."""

PR_SET_PDEATHSIG = 1
"""Of prctl(2): the signal that the kernel sends when the parent is gone."""

FAILED = 1
"""The exit code of a rank that has said why, or failed because another one has."""

CELL = "cell"
"""Of the store that the ranks share: the cell's configuration. `ready/1` and `failure/1` are what rank 1 says."""


class RankError(Exception):
    """Another rank of the cell has failed, was killed, or hangs."""


class Others(Protocol):
    """The other ranks, as rank 0 sees them."""

    store: "Store"

    def lost(self, seconds: float) -> str | None:
        """Why one of them is no more, if one is so, or comes to be within this time."""

    def why(self, error: Exception) -> str:
        """The reason why rank 0 got `error` in place of an answer."""


@contextmanager
def together(config: Config, raw: Mapping[str, Any], timeout: timedelta = TIMEOUT) -> Iterator[World]:
    """Rank 0's world, for as long as the block runs: of `config.devices` processes, the others of which follow it.

    Args:
        config: the cell's.
        raw: the same as plain containers.
        timeout: after which a rank that does not answer hangs.

    Raises:
        RankError: where another rank has ended, or hangs.
    """
    if config.devices == 1:
        yield ALONE
        return
    started = Started.found()
    with _started_by_torchrun(started, timeout) if started else _children(config.devices, timeout) as others:
        others.store.set(CELL, json.dumps(raw))
        _wait_for(others, config.devices)
        try:
            _join(others.store, 0, config.devices, choose(config.device), timeout)
            yield World(0, config.devices)
            _dismiss(config.devices)
        except Interrupted:
            _dismiss(config.devices)
            raise
        except RuntimeError as error:
            if not _is_of_others(error):
                raise
            raise RankError(others.why(error)) from error
        finally:
            _part()


def follow(store: "Store", rank: int, size: int, local_rank: int, timeout: timedelta) -> None:
    """Be another rank than the first, from the beginning of the cell to its end. Ends the process on a failure (1)."""
    try:
        store.wait([CELL], UNTIL_BEGUN)
        _leave_signals_to_rank_0()
        config = Config.checked(json.loads(store.get(CELL)))
        make_repeatable(config)
        place = choose_nth(config.device, local_rank)
        training = _training(config, place, World(rank, size))
        store.set(f"ready/{rank}", "")
        _join(store, rank, size, place, timeout)
        training.follow()
    except Exception as error:
        if not (dist.is_initialized() and isinstance(error, RuntimeError) and _is_of_others(error)):
            _explain(store, rank, error)
        os._exit(FAILED)  # at once: what the others wait for will not come
    _part()


def _explain(store: "Store", rank: int, error: Exception) -> None:
    """Say why this rank fails: in short to rank 0, and at length to whoever looks for more, where that helps."""
    explained = out_of_memory(error)
    if not explained:
        traceback.print_exception(error)
    store.set(f"failure/{rank}", explained or f"{type(error).__name__}: {error}")


def _training(config: Config, place: torch.device, world: World) -> "Training":
    """The cell, about to train on `place`: what `src.train` puts together, without what is recorded of it."""
    from src.dataset import load
    from src.fit.batches import Normalize
    from src.fit.loop import Training
    from src.model import build

    source = config.dataset.build(config.data_dir)
    splits = load(source, config.outputs_dir / "cache")
    normalize = Normalize(splits.mean, splits.std).to(place)
    model = build(config, source.shape, len(source.class_names), place)
    return Training(model, splits.train.to(place), splits.val.to(place), normalize, config, world)


# --- the group of processes -------------------------------------------------------------------------------------------


def _wait_for(others: Others, size: int) -> None:
    """Come back when all ranks are about to join. Joining waits for one that never comes until its time is up."""
    missing = [f"ready/{rank}" for rank in range(1, size)]
    while missing := [key for key in missing if not others.store.check([key])]:
        if reason := others.lost(POLL_S):
            raise RankError(reason)


def _join(store: "Store", rank: int, size: int, place: torch.device, timeout: timedelta) -> None:
    backend = "cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout)


def _file_store(path: Path, size: int) -> "Store":
    return dist.FileStore(str(path), size)  # type: ignore[attr-defined]


def _dismiss(size: int) -> None:
    World(0, size).tell(OVER)


def _part() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _is_of_others(error: RuntimeError) -> bool:
    """Whether an error came of what another process did, or did not do. Gloo's has no type of its own."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)


# --- ranks that this process has started ------------------------------------------------------------------------------


class Children:
    """The other ranks, as processes of this one.

    Attributes:
        store: which all share, a file.
        processes: by their ranks.
    """

    def __init__(self, path: Path, size: int, num_threads: int, timeout: timedelta) -> None:
        self.store: Store = _file_store(path, size)
        self.timeout = timeout
        arguments = (path, size, num_threads, timeout)
        self.processes: dict[int, BaseProcess] = {
            rank: CONTEXT.Process(target=_child, args=(rank, *arguments), name=f"rank {rank}")
            for rank in range(1, size)
        }
        self.over = False

    def start(self) -> None:
        """Start them. A signal that comes while they do not yet know what to make of it waits."""
        resource_tracker.ensure_running()  # starting it lets signals through again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, NOT_FOR_OTHERS)
        try:
            for process in self.processes.values():
                process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        threading.Thread(target=self._watch, name="ranks", daemon=True).start()

    def lost(self, seconds: float) -> str | None:
        wait([process.sentinel for process in self.processes.values() if process.exitcode is None], seconds)
        return next(filter(None, map(self._cause, self.processes)), None)

    def why(self, error: Exception) -> str:
        deadline = time.monotonic() + SETTLED_S
        while (left := deadline - time.monotonic()) > 0 and None in [p.exitcode for p in self.processes.values()]:
            if reason := self.lost(left):
                return reason
        if hung := [str(rank) for rank, process in self.processes.items() if process.exitcode is None]:
            seconds = f"{self.timeout.total_seconds():g}"
            return f"rank {' and '.join(hung)} hung: the others waited {seconds} s for it ({_first_line(error)})"
        return self.lost(0) or f"another rank is gone ({_first_line(error)})"

    def _cause(self, rank: int) -> str | None:
        """Why this rank has ended, where it did not because another one has."""
        code = self.processes[rank].exitcode
        if code is not None and code < 0:
            hint = ", perhaps because memory ran out" if code == -signal.SIGKILL else ""
            return f"rank {rank} was killed by {signal.Signals(-code).name}{hint}"
        if not code:
            return None
        return _told(self.store, rank) or (None if code == FAILED else f"rank {rank} ended with exit code {code}")

    def end(self) -> None:
        """They are gone when this comes back: by themselves where they were told that it is over, else at once."""
        deadline = time.monotonic() + (GRACE_S if self.over else 0)
        for process in self.processes.values():
            if process.pid is None:
                continue
            process.join(max(0.0, deadline - time.monotonic()))
            process.kill()
            process.join()

    def _watch(self) -> None:
        """A rank that is gone leaves the others waiting on their GPUs, where gloo tells them that it is."""
        wait([process.sentinel for process in self.processes.values()])
        if not self.over and dist.is_initialized() and "nccl" in dist.get_backend():
            dist.distributed_c10d._abort_process_group()


@contextmanager
def _children(size: int, timeout: timedelta) -> Iterator[Children]:
    """Other ranks on this machine, which share its threads with this process, as long as the block."""
    before = torch.get_num_threads()
    num_threads = max(1, before // size)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, _loopback():
        children = Children(Path(folder) / "store", size, num_threads, timeout)
        torch.set_num_threads(num_threads)
        try:
            children.start()
            yield children
            children.over = True
        except Interrupted:
            children.over = True
            raise
        finally:
            children.end()
            torch.set_num_threads(before)


def _child(rank: int, path: Path, size: int, num_threads: int, timeout: timedelta) -> None:
    """The whole life of such a process."""
    leaving.with_parent()
    if sys.platform == "linux":  # also where it hangs so hard that none of its threads gets a turn
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _leave_signals_to_rank_0()
    torch.set_num_threads(num_threads)
    torch.set_num_interop_threads(num_threads)
    follow(_file_store(path, size), rank, size, rank, timeout)


def _leave_signals_to_rank_0() -> None:
    for number in NOT_FOR_OTHERS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, NOT_FOR_OTHERS)


@contextmanager
def _loopback() -> Iterator[None]:
    """Gloo listens on this machine alone, unless somebody has said otherwise; left to itself, it asks for its name."""
    names = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    if "GLOO_SOCKET_IFNAME" in os.environ or not names:
        yield
        return
    os.environ["GLOO_SOCKET_IFNAME"] = names[0]
    try:
        yield
    finally:
        del os.environ["GLOO_SOCKET_IFNAME"]


# --- ranks that torchrun has started ----------------------------------------------------------------------------------


class Siblings:
    """The other ranks, where torchrun has started all.

    Attributes:
        store: torchrun's.
    """

    def __init__(self, started: Started, timeout: timedelta) -> None:
        from torch.distributed.rendezvous import rendezvous

        self.size = started.size
        self.store, _, _ = next(rendezvous("env://", started.rank, started.size, timeout=timeout))

    def lost(self, seconds: float) -> str | None:
        time.sleep(seconds)
        return next(filter(None, (_told(self.store, rank) for rank in range(1, self.size))), None)

    def why(self, error: Exception) -> str:
        return self.lost(SETTLED_S) or f"another rank is gone or hangs ({_first_line(error)})"


@contextmanager
def _started_by_torchrun(started: Started, timeout: timedelta) -> Iterator[Siblings]:
    yield Siblings(started, timeout)


def follow_torchrun(started: Started) -> None:
    """Be one of the ranks that torchrun has started and that are not the first, from the beginning to the end."""
    store = Siblings(started, TIMEOUT).store
    follow(store, started.rank, started.size, started.local_rank, TIMEOUT)


def _told(store: "Store", rank: int) -> str | None:
    """What a rank has said of why it failed."""
    if not store.check([f"failure/{rank}"]):
        return None
    return f"rank {rank} failed. {store.get(f'failure/{rank}').decode()}"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
