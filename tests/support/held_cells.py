"""Cells of a sweep that is running, held where they have begun: what is to befall them does so before they are over.

However busy the machine is, few epochs will do.
"""

import os
import re
import signal
import time
from contextlib import contextmanager, suppress
from pathlib import Path

DEADLINE_S = 180


@contextmanager
def held(outputs, count, process):
    """The ids of the processes of so many cells, each held at one of its first checkpoints for as long as the block.

    Args:
        outputs: the folder of the sweep.
        count: of cells.
        process: that runs the sweep, and is not to end before that.
    """
    found = {}
    deadline = time.monotonic() + DEADLINE_S
    try:
        while len(found) < count:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "waited in vain for checkpoints"
            for folder in {path.parent for path in outputs.glob("sweeps/*/*/last.pt")} - set(found):
                if pid := pid_of(folder):
                    os.kill(pid, signal.SIGSTOP)
                    found[folder] = pid
            time.sleep(0.02)
        yield list(found.values())
    finally:
        for pid in found.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def waits_for(number, pid):
    """Whether a process that is held will find this signal when it is let go, or has gone."""
    with suppress(OSError):
        (pending,) = re.findall(r"^ShdPnd:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        return bool(int(pending, 16) >> (number - 1) & 1)
    return True


def pid_of(folder):
    """The id of the process whose output goes to the cell's folder; None if there is none."""
    for path in Path("/proc").glob("[0-9]*/fd/1"):
        with suppress(OSError):
            if path.readlink() == folder / "output.log":
                return int(path.parts[2])
    return None
