"""Command lines that run a cell again, add replicates to a sweep, or finish a sweep."""

import shlex
from collections.abc import Mapping, Sequence

from hydra.core.override_parser.types import Quote, QuotedString

from image_sweeps.config.invocation import program
from image_sweeps.config.schema import GROUPS, SEED, SWEEP_KEYS, Config, is_scientific

ENOUGH_SEEDS = 5
"""The number of seeds to propose: with 5, the factor of the 95% t interval is 2.8; with 2 it is 12.7, with 3 4.3."""


def of_cell(overrides: Sequence[str]) -> str:
    """Return the command that trains a cell again as a single run, from the overrides that made the cell."""
    return shlex.join([*program("train"), *(text for text in overrides if _key(text) not in SWEEP_KEYS)])


def of_params(params: Mapping[str, str], defaults: Mapping[str, str]) -> str:
    """Return the command that trains a cell again as a single run, from the parameters of its run.

    Args:
        params: choices and flattened configuration, as text.
        defaults: the parameters that follow from these choices alone; only values that differ from them are written
            out.
    """
    values = {
        key: value
        for key, value in params.items()
        if key not in GROUPS
        and key.split(".")[0] in Config.model_fields
        and (is_scientific(key) or key == "dataset.path")
    }
    settings = [f"{key}={_typed(value)}" for key, value in values.items() if defaults.get(key) != value]
    return shlex.join(
        [*program("train"), *(f"{group}={params[group]}" for group in GROUPS if group in params), *settings]
    )


def with_more_seeds(command: str, seeds: Sequence[str], sweep: str) -> str:
    """Return the command that resumes the sweep with at least ENOUGH_SEEDS seeds; finished cells are not run again."""
    wanted = [int(seed) for seed in seeds]
    while len(wanted) < ENOUGH_SEEDS:
        wanted.append(max(wanted) + 1)
    plain = sorted(wanted) == list(range(len(wanted)))
    values = f"range({len(wanted)})" if plain else ",".join(map(str, sorted(wanted)))
    return _amended(command, {SEED: values, "resume": sweep})


def to_finish(command: str, sweep: str) -> str:
    """Return the command of the sweep that resumes it and runs the missing cells."""
    return _amended(command, {"resume": sweep})


def _amended(command: str, values: Mapping[str, str]) -> str:
    """Return a command line with these keys set, and without `dry_run`."""
    dropped = {*values, "dry_run"}
    kept = [token for token in shlex.split(command) if "=" not in token or _key(token) not in dropped]
    return shlex.join([*kept, *(f"{key}={value}" for key, value in values.items())])


def _key(override: str) -> str:
    return override.split("=")[0].lstrip("+~")


def _typed(value: str) -> str:
    """Return a parameter in Hydra's grammar; MLflow keeps it as Python prints it."""
    if value in ("None", "True", "False"):
        return {"None": "null"}.get(value, value.lower())
    plain = value.replace(".", "").replace("-", "").replace("_", "").isalnum() or value.startswith("[")
    return value.replace(" ", "") if plain else str(QuotedString(value, Quote.single).with_quotes())
