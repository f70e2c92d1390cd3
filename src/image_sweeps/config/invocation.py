"""The command line as the user typed it, and other commands to print, which take the same form."""

import shlex
import sys
from pathlib import Path

from image_sweeps.system.home import CHECKOUT

SCRIPT = "image-sweeps"
"""The command that an installation of the package provides."""

PACKAGE_NAME = "image_sweeps"

FORMS = ("src", PACKAGE_NAME)
"""The packages that `python -m` runs: `src` in a checkout, `image_sweeps` wherever the package is installed."""


def program(command: str) -> list[str]:
    """Return the words that start `command` (train, report or sync) in the form in which this process was started."""
    form, _ = _started()
    return [SCRIPT, command] if form == SCRIPT else ["python", "-m", f"{form}.{command}"]


def typed() -> str:
    """Return the command line of this process as the user typed it; Hydra receives another form of it."""
    _, arguments = _started()
    return shlex.join([*program("train"), *arguments])


def _started() -> tuple[str, list[str]]:
    """Return the form in which this process was started, and the arguments of the command.

    If a test or a scheduler started it, the form is the one that works where the package is located.
    """
    given = sys.orig_argv
    for position, word in enumerate(given):
        if Path(word).name == SCRIPT or (given[position - 1] == "-m" and word == PACKAGE_NAME):
            return SCRIPT, given[position + 2 :]  # the next word names the command
        if given[position - 1] == "-m" and word.partition(".")[0] in FORMS:
            return word.partition(".")[0], given[position + 1 :]
    return FORMS[0] if CHECKOUT else SCRIPT, sys.argv[1:]
