"""The other ranks of a cell, as child processes of rank 0. None of them outlives rank 0, however rank 0 ends."""

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

CONTEXT = multiprocessing.get_context("spawn")  # a fork has no threads and cannot use CUDA

SETTLED_S = 3.0
"""The longest time to find out which rank has failed, once a rank does not answer, in seconds."""

GRACE_S = 10.0
"""The time that ranks have to end by themselves after they were told that the cell is over, in seconds."""

FAILED = 1
"""The exit code of a rank that has published its failure, or that failed because another rank did."""

NOT_FOR_OTHERS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
"""Signals that ask to stop. All processes of a terminal or a job may get them, but only rank 0 handles them."""

PR_SET_PDEATHSIG = 1
"""The option of prctl(2) that sets the signal which the kernel sends when the parent is gone."""

Follow = Callable[[RankStore, int, int, timedelta], None]
"""The function that another rank runs. Its arguments are the store, the rank, the local rank and the timeout."""


class SpawnedRanks:
    """The other ranks, as processes on this machine.

    Attributes:
        store: the store that all ranks share.
        processes: the processes by their ranks.
        over: whether the other ranks have been told that the cell is over.
    """

    def __init__(self, path: Path, size: int, num_threads: int, timeout: timedelta, follow: Follow) -> None:
        self.store, self.timeout, self.over = RankStore.at(path, size), timeout, False
        arguments = (path, size, num_threads, timeout, follow)
        self.processes: dict[int, BaseProcess] = {
            rank: CONTEXT.Process(target=_rank_main, args=(rank, *arguments), name=f"rank {rank}")
            for rank in range(1, size)
        }

    def start(self) -> None:
        """Start the processes. Signals that ask to stop are blocked until each process is ready to ignore them."""
        resource_tracker.ensure_running()  # before the next line, because this unblocks signals
        before = signal.pthread_sigmask(signal.SIG_BLOCK, NOT_FOR_OTHERS)
        try:
            for process in self.processes.values():
                process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        threading.Thread(target=self._watch, name="ranks", daemon=True).start()

    def lost(self, seconds: float) -> str | None:
        """Wait up to `seconds` for a rank to end. Return why a rank has failed, or None if none has."""
        wait([process.sentinel for process in self.processes.values() if process.exitcode is None], seconds)
        return next(filter(None, map(self._cause, self.processes)), None)

    def why(self, error: Exception) -> str:
        """Return which failure of the other ranks caused `error` in rank 0."""
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
        """Return why this rank has failed; None if it has not, or only because another rank has."""
        code = self.processes[rank].exitcode
        if not code:
            return None
        if code < 0:
            hint = ", perhaps because memory ran out" if code == -signal.SIGKILL else ""
            return f"rank {rank} was killed by {signal.Signals(-code).name}{hint}"
        return self.store.failure(rank) or (None if code == FAILED else f"rank {rank} ended with exit code {code}")

    def end(self) -> None:
        """Kill the ranks that are left; if they were told that the cell is over, first wait for them to end."""
        deadline = time.monotonic() + (GRACE_S if self.over else 0)
        for process in self.processes.values():
            if process.pid is None:
                continue
            process.join(max(0.0, deadline - time.monotonic()))
            process.kill()
            process.join()

    def _watch(self) -> None:
        """Abort NCCL if a rank ends early: unlike gloo, it reports no error, and the others would wait on GPUs."""
        wait([process.sentinel for process in self.processes.values()])
        if not self.over and dist.is_initialized() and "nccl" in dist.get_backend_config():
            abort_process_group()


@contextmanager
def spawned_ranks(size: int, timeout: timedelta, follow: Follow) -> Iterator[SpawnedRanks]:
    """Yield the other ranks, which run on this machine during the block and share the threads of this process."""
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


def _rank_main(rank: int, path: Path, size: int, num_threads: int, timeout: timedelta, follow: Follow) -> None:
    """Run another rank, from the start to the end of its process."""
    process_exit.with_parent()
    if sys.platform == "linux":  # works even if the process hangs so that none of its threads runs
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    leave_signals_to_rank_0()
    torch.set_num_threads(num_threads)
    torch.set_num_interop_threads(num_threads)
    follow(RankStore.at(path, size), rank, rank, timeout)


def leave_signals_to_rank_0() -> None:
    """Ignore the signals that ask to stop, and unblock them."""
    for number in NOT_FOR_OTHERS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, NOT_FOR_OTHERS)


@contextmanager
def _loopback() -> Iterator[None]:
    """Make gloo listen on this machine only, unless the user has set an interface; it would look up the host name."""
    names = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    if "GLOO_SOCKET_IFNAME" in os.environ or not names:
        yield
        return
    os.environ["GLOO_SOCKET_IFNAME"] = names[0]
    try:
        yield
    finally:
        del os.environ["GLOO_SOCKET_IFNAME"]
