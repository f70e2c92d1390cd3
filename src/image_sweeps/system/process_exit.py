"""A quick end of a process: the interpreter would first tear down six thousand modules, for two seconds."""

import atexit
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn


def run(main: Callable[[], object]) -> NoReturn:
    """Run `main` and end the process, with the exit code that it would have had.

    Exit handlers run if they were registered after this call (the last one registered runs first). Remaining objects
    are not finalized.
    """
    code = 1  # the exit code of an uncaught exception, after its traceback

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
    """End this process as soon as the process that started it has ended, for whatever reason."""
    import multiprocessing  # it registers exit handlers, which run only if `run` came first
    from multiprocessing.connection import wait

    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
