"""The command as it was typed, and the form in which other commands are printed: that of this one."""

import shlex
import sys
from pathlib import Path

from image_sweeps.system.home import CHECKOUT

SCRIPT = "image-sweeps"
"""The command that installing the package brings."""

FORMS = ("src", "image_sweeps")
"""What `python -m` is given: in a checkout, and wherever the package is installed."""


def program(command: str) -> list[str]:
    """The words that start `command`, which is train, report or sync, in the form in which this process was started."""
    form = _form()
    return [SCRIPT, command] if form == SCRIPT else ["python", "-m", f"{form}.{command}"]


def typed() -> str:
    """The command of this process, as it was typed; Hydra is given another form of it."""
    words, given = program("train"), sys.orig_argv
    if given[2:3] == words[-1:]:  # python -m src.train, or python /.../bin/image-sweeps train
        return shlex.join([*words, *given[3:]])
    return shlex.join([*words, *sys.argv[1:]])


def _form() -> str:
    """How this process was started; where a test or a scheduler has done that, what works where the package lies."""
    started_by = sys.orig_argv[1:3]
    for home in FORMS:
        if started_by[:1] == ["-m"] and started_by[-1].startswith(f"{home}."):
            return home
    if started_by and Path(started_by[0]).name == SCRIPT:
        return SCRIPT
    return FORMS[0] if CHECKOUT else SCRIPT
