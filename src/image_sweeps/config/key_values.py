"""Command lines that consist of `key=value` only, for the tools other than `image_sweeps.train`."""

import shlex
import sys
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from image_sweeps.config.invocation import SCRIPT, program
from image_sweeps.config.problems import near


class UsageError(ValueError):
    """An invalid command line; the message says what is allowed."""


def show_help(arguments: Sequence[str], command: str, text: str) -> bool:
    """Print `text`, if the arguments ask for help, with commands in the form that was typed. Return whether they do."""
    if not {"-h", "--help"} & set(arguments):
        return False
    sys.stdout.write(text.replace(f"{SCRIPT} {command}", shlex.join(program(command))))
    return True


def key_values(arguments: Sequence[str], keys: Sequence[str], usage: str) -> dict[str, str]:
    """Return the given values by key. Quotes around a whole value are Hydra's, as on the command line of `train`.

    Raises:
        UsageError: if an argument is not key=value, or its key is not in `keys`.
    """
    given = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or not value:
            raise UsageError(f"{argument}: is not key=value; {usage}")
        if key not in keys:
            raise UsageError(f"{key}: there is no such key.{near(key, keys)} Keys here: {', '.join(keys)}")
        given[key] = _unquoted(value)
    return given


def _unquoted(value: str) -> str:
    if value[0] in "'\"" and value[-1] == value[0]:
        try:
            return str(OverridesParser.create().parse_override(f"key={value}").value())
        except HydraException:  # quotes at both ends that do not belong together, as in MLflow's filters
            pass
    return value
