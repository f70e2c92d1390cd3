"""The fork server: a process that has imported everything that a cell needs, and forks one process per cell.

It does not depend on the sweep, and imports while the sweep is being planned. This module imports little, so that the
server can be started before anything else.
"""

import multiprocessing
import signal
from multiprocessing import forkserver, resource_tracker

CONTEXT = multiprocessing.get_context("forkserver")

STOPPING = (signal.SIGINT, signal.SIGTERM)


def start() -> None:
    """Start the fork server, unless it is running.

    A Ctrl-C in the terminal reaches every process there. The server therefore starts with SIGINT and SIGTERM blocked,
    and so does each of its children, until the child has installed its own handlers.
    """
    CONTEXT.set_forkserver_preload(["image_sweeps.launch.preload"])
    resource_tracker.ensure_running()  # before the signals are blocked: starting it unblocks them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
