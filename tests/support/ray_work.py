"""What cells of Ray's tests do in their processes. Which of it a cell does, its seed says."""

import os
import signal
import subprocess

from tests.support import faulty_work as faults
from tests.support.waiting import until

KILLS_ITS_WORKER_ONCE, KILLS_ITS_WORKER_ALWAYS, SHARES, HANGS, DEAF = 20, 21, (30, 31), 50, (60, 61)


def by_seed(cell, folder, listener):
    seed = cell.config.seed
    if seed in (KILLS_ITS_WORKER_ONCE, KILLS_ITS_WORKER_ALWAYS):
        kill_worker(cell, folder, once=seed == KILLS_ITS_WORKER_ONCE)
    elif seed in SHARES:
        share_gpu(cell, folder, listener)
    elif seed == HANGS:
        faults.hang()
    elif seed in DEAF:
        stop_with_server(folder)
    else:
        faults.fail_by_seed(cell, folder, listener)


def kill_worker(cell, folder, *, once):
    """Ray's worker is the parent of the fork server, which is the parent of this process."""
    if not (once and (folder / "killed").exists()):
        faults.note(folder, "killed")
        worker = parent(os.getppid())
        os.kill(worker, signal.SIGKILL)
        faults.hang()
    faults.finish(cell, folder)


def parent(pid):
    return int(subprocess.run(["ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, check=True).stdout)


def share_gpu(cell, folder, listener):
    """Not over before two cells have begun."""
    faults.note(folder, "gpu", visible=os.environ.get("CUDA_VISIBLE_DEVICES"), where=(folder / "where.txt").read_text())
    until(lambda: len(faults.siblings(folder, "gpu")) == len(SHARES))
    faults.tell_threads(cell, folder, listener)


def stop_with_server(folder):
    """Neither this process nor the fork server hears of anything any more."""
    faults.note(folder, "deaf", pids=[os.getpid(), os.getppid()])
    os.kill(os.getppid(), signal.SIGSTOP)
    signal.raise_signal(signal.SIGSTOP)
