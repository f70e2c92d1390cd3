"""The other ranks of a cell, as processes that rank 0 has started: none is left when it has ended, in whichever way."""

import ctypes
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
import torch.distributed as dist

from image_sweeps.fit.rank_store import RankStore
from image_sweeps.fit.torch_internals import abort_process_group
from image_sweeps.system import process_exit
from image_sweeps.system.interrupt import Interrupted

CONTEXT = multiprocessing.get_context("spawn")  # a fork would have neither its parent's threads nor its CUDA

SETTLED_S = 3.0
"""How long it may take until is known which rank has failed, once one does not answer."""

GRACE_S = 10.0
"""How long ranks have to end by themselves, when they are told that it is over."""

FAILED = 1
"""The exit code of a rank that has said why, or failed because another one has."""

NOT_FOR_OTHERS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
"""Signals that ask to stop, which rank 0 is to make something of: all processes of a terminal or a job may get them."""

PR_SET_PDEATHSIG = 1
"""Of prctl(2): the signal that the kernel sends when the parent is gone."""

Follow = Callable[[RankStore, int, int, timedelta], None]
"""What another rank does: with the store, its rank, its number on this machine, and after which time others hang."""


class SpawnedRanks:
    """The other ranks.

    Attributes:
        store: which all share.
        processes: by their ranks.
        over: whether they have been told that there is no more to do.
    """

    def __init__(self, path: Path, size: int, num_threads: int, timeout: timedelta, follow: Follow) -> None:
        self.store, self.timeout, self.over = RankStore.at(path, size), timeout, False
        arguments = (path, size, num_threads, timeout, follow)
        self.processes: dict[int, BaseProcess] = {
            rank: CONTEXT.Process(target=_live, args=(rank, *arguments), name=f"rank {rank}") for rank in range(1, size)
        }

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
        """Why one of them is no more, if one is so, or comes to be within this time."""
        wait([process.sentinel for process in self.processes.values() if process.exitcode is None], seconds)
        return next(filter(None, map(self._cause, self.processes)), None)

    def why(self, error: Exception) -> str:
        """The reason why rank 0 got `error` in place of an answer."""
        deadline = time.monotonic() + SETTLED_S
        while (left := deadline - time.monotonic()) > 0 and None in [p.exitcode for p in self.processes.values()]:
            if reason := self.lost(left):
                return reason
        short = str(error).partition("\n")[0]
        if hung := [str(rank) for rank, process in self.processes.items() if process.exitcode is None]:
            seconds = f"{self.timeout.total_seconds():g}"
            return f"rank {' and '.join(hung)} hung: the others waited {seconds} s for it ({short})"
        return self.lost(0) or f"another rank is gone ({short})"

    def _cause(self, rank: int) -> str | None:
        """Why this rank has ended, where it did not because another one has."""
        code = self.processes[rank].exitcode
        if not code:
            return None
        if code < 0:
            hint = ", perhaps because memory ran out" if code == -signal.SIGKILL else ""
            return f"rank {rank} was killed by {signal.Signals(-code).name}{hint}"
        return self.store.failure(rank) or (None if code == FAILED else f"rank {rank} ended with exit code {code}")

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
        if not self.over and dist.is_initialized() and "nccl" in dist.get_backend_config():
            abort_process_group()


@contextmanager
def started(size: int, timeout: timedelta, follow: Follow) -> Iterator[SpawnedRanks]:
    """Other ranks on this machine, which share its threads with this process, as long as the block runs."""
    before = torch.get_num_threads()
    num_threads = max(1, before // size)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, _loopback():
        children = SpawnedRanks(Path(folder) / "store", size, num_threads, timeout, follow)
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


def _live(rank: int, path: Path, size: int, num_threads: int, timeout: timedelta, follow: Follow) -> None:
    """The whole life of such a process."""
    process_exit.with_parent()
    if sys.platform == "linux":  # also where it hangs so hard that none of its threads gets a turn
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    leave_signals_to_rank_0()
    torch.set_num_threads(num_threads)
    torch.set_num_interop_threads(num_threads)
    follow(RankStore.at(path, size), rank, rank, timeout)


def leave_signals_to_rank_0() -> None:
    """From now on, what asks to stop is not for this process."""
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
