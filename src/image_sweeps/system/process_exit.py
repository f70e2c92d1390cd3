"""The end of a process: at once, where the interpreter would take down six thousand modules first, for two seconds."""

import atexit
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn


def run(main: Callable[[], object]) -> NoReturn:
    """Run `main` and end the process, with the exit code that it would have had.

    Whatever is to be done at exit is, as long as it was registered after the call (what registered comes last, ends
    first); objects that are still there are not finalised.
    """
    code = 1  # what an exception that nobody caught ends with, after its traceback

    def leave() -> None:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    atexit.register(leave)
    try:
        main()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            code = end.code or 0
        raise
    else:
        code = 0
    sys.exit(code)


def with_parent() -> None:
    """Nothing is left running where the process that started this one has gone, in whichever way."""
    import multiprocessing  # which has things to do at exit, for which `run` has to come first
    from multiprocessing.connection import wait

    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
