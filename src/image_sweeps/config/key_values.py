"""Command lines that consist of `key=value` only, for the tools other than `image_sweeps.train`."""

from collections.abc import Sequence

from image_sweeps.config.problems import near


class UsageError(ValueError):
    """An invalid command line; the message says what is allowed."""


def key_values(arguments: Sequence[str], keys: Sequence[str], usage: str) -> dict[str, str]:
    """Return the given values by key.

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
        given[key] = value
    return given
