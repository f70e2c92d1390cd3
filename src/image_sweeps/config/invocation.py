"""The command as it was typed, and the form in which other commands are printed: that of this one."""

import shlex
import sys
from pathlib import Path

from image_sweeps.system.home import CHECKOUT

SCRIPT = "image-sweeps"
"""The command that installing the package brings."""

PACKAGE = "image_sweeps"

FORMS = ("src", PACKAGE)
"""What `python -m` is given: in a checkout, and wherever the package is installed."""


def program(command: str) -> list[str]:
    """The words that start `command`, which is train, report or sync, in the form in which this process was started."""
    form, _ = _started()
    return [SCRIPT, command] if form == SCRIPT else ["python", "-m", f"{form}.{command}"]


def typed() -> str:
    """The command of this process, as it was typed; Hydra is given another form of it."""
    _, arguments = _started()
    return shlex.join([*program("train"), *arguments])


def _started() -> tuple[str, list[str]]:
    """The form in which this process was started, and the arguments of the command.

    Where a test or a scheduler has started it, the form is what works where the package lies.
    """
    given = sys.orig_argv
    for position, word in enumerate(given):
        if Path(word).name == SCRIPT or (given[position - 1] == "-m" and word == PACKAGE):
            return SCRIPT, given[position + 2 :]  # the command follows
        if given[position - 1] == "-m" and word.partition(".")[0] in FORMS:
            return word.partition(".")[0], given[position + 1 :]
    return FORMS[0] if CHECKOUT else SCRIPT, sys.argv[1:]
