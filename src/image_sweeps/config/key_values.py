"""Command lines of `key=value` and nothing else, of the tools beside `image_sweeps.train`."""

from collections.abc import Sequence

from image_sweeps.config.problems import near


class UsageError(ValueError):
    """The command line is none; the message says what it may be."""


def key_values(arguments: Sequence[str], keys: Sequence[str], usage: str) -> dict[str, str]:
    """The values given, by key.

    Raises:
        UsageError: where an argument is no key=value, or of no key that there is.
    """
    given = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or not value:
            raise UsageError(f"{argument}: is not key=value; {usage}")
        if key not in keys:
            raise UsageError(f"{key}: there is no such key.{near(key, keys)} Keys here: {', '.join(keys)}")
        given[key] = value
    return given
