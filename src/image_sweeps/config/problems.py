"""The problems of a configuration as text: the full key, the value received, what is accepted, the next step."""

import difflib
import inspect
import sys
import typing
from collections.abc import Sequence
from typing import Any, NoReturn

from pydantic import BaseModel

from image_sweeps.system.console import show_error

MAX_LISTED = 5
"""The largest number of names that a message lists."""


class ConfigError(ValueError):
    """Everything in a configuration that the user has to correct; each problem is one or more lines of text."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        count = "a problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        listing = "\n".join("  " + problem.replace("\n", "\n    ") for problem in self.problems)
        super().__init__(f"The configuration has {count}; nothing was run.\n{listing}")


class DataError(Exception):
    """The data is missing or unusable; the message says what was looked for, where, and what the user can do."""


def near(name: str, names: Sequence[str], prefix: str = "") -> str:
    """Return ' Did you mean ...?' for a misspelled name, or an empty string if no name is similar."""
    matches = difflib.get_close_matches(name, names, n=1)
    return f" Did you mean {prefix}{matches[0]}?" if matches else ""


def listed(names: Sequence[str]) -> str:
    """Return the names on one line; of more than `MAX_LISTED` names, the first ones and the number of the others."""
    more = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")


def describe_problem(problem: Any, schema: type[BaseModel]) -> str:
    """Return the text of one pydantic error: the full key, the value received, and what is accepted."""
    path = [str(step) for step in problem["loc"]]
    key = ".".join(path)
    if problem["type"] == "extra_forbidden":
        keys = _keys_at(path[:-1], schema)
        prefix = "".join(step + "." for step in path[:-1])
        hint = near(path[-1], keys, prefix) or near(key, _all_keys(schema))
        return f"{key}: there is no such key.{hint} Keys here: {', '.join(prefix + name for name in keys)}"
    if problem["type"] == "missing":
        return f"{key}: is missing; give it a value, as in {key}=..."
    if problem["type"] == "literal_error":
        accepted = f"must be one of {problem['ctx']['expected']}"
    elif problem["type"] == "string_pattern_mismatch":
        accepted = f"must be {schema.model_fields[path[0]].description}"
    elif problem["type"] == "path_type":
        accepted = "must be the name of a file or folder"
    elif problem["type"] == "model_type":
        accepted = f"must be a group of keys, chosen as in {key}=..."
    else:
        accepted = problem["msg"].replace("Input should be", "must be").replace("Input should", "must")
    return f"{key} = {problem['input']!r}: {accepted}"


def _keys_at(path: Sequence[str], schema: type[BaseModel]) -> list[str]:
    for step in path:
        candidate = next((f.annotation for n, f in schema.model_fields.items() if (f.alias or n) == step), None)
        inner = [t for t in (candidate, *typing.get_args(candidate)) if inspect.isclass(t) and issubclass(t, BaseModel)]
        if not inner:
            return []
        schema = inner[0]
    return [name for name in schema.model_fields if name != "target"]


def _all_keys(schema: type[BaseModel]) -> list[str]:
    top = _keys_at([], schema)
    return top + [f"{group}.{key}" for group in top for key in _keys_at([group], schema)]


WRONG_CONFIGURATION = 2
"""The exit code of a process that ran nothing because its configuration is wrong."""


def refuse(error: ConfigError) -> NoReturn:
    """Show the problems and end the process; nothing was run."""
    show_error(str(error))
    sys.exit(WRONG_CONFIGURATION)


def refuse_all(problems: Sequence[str | None]) -> None:
    """Raise one ConfigError with all problems that are not None, if there are any."""
    if found := [problem for problem in problems if problem]:
        raise ConfigError(found)
