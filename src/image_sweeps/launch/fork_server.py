"""The fork server: a process that has imported all that a cell needs, and forks one process a cell.

It knows nothing of the sweep, and imports while that is being planned. This module is light, so that it can be started
before anything else.
"""

import multiprocessing
import signal
from multiprocessing import forkserver, resource_tracker

CONTEXT = multiprocessing.get_context("forkserver")

STOPPING = (signal.SIGINT, signal.SIGTERM)


def start() -> None:
    """Start it, unless it is running.

    A Ctrl-C in the terminal reaches every process there. The server is born with such signals held back, and so is a
    child of its, until that has said what it makes of them.
    """
    CONTEXT.set_forkserver_preload(["image_sweeps.launch.preload"])
    resource_tracker.ensure_running()  # on its own: starting it lets the signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
