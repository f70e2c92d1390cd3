"""From one command line to the cells of a sweep, all of them composed and checked before the first one runs."""

import itertools
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.override_parser.types import Override

from src.compose import OWNED_BY_HYDRA, Composed, composed, declared_grid, parse
from src.config import Config, Part, is_scientific
from src.dataset import DataError, Dataset
from src.problems import ConfigError
from src.sweep.cell import Cell

Arm = tuple[str, ...]
"""The overrides of one combination."""


@dataclass(frozen=True)
class Plan:
    """A sweep's cells, each once.

    Attributes:
        factors: what the sweep varies: `{"model": ("model=cnn", "model=cnn_batch")}`.
        cells: in the order of the grid.
        num_duplicates: arms of the grid that are the same cell as an earlier one.
    """

    factors: dict[str, tuple[str, ...]]
    cells: tuple[Cell, ...]
    num_duplicates: int


def plan(overrides: Sequence[str], config_name: str = "config") -> Plan:
    """The grid that `overrides` span; those of Hydra's own keys hold for every arm. Needs `compose.hydra_at`.

    Raises:
        ConfigError: with every mistake in any arm, naming the arm, or with the reason why a data set cannot be had.
    """
    by_key = {o.get_key_element(): o for o in parse(overrides)}  # the last one said of a key counts
    task = [o for key, o in by_key.items() if not key.startswith(OWNED_BY_HYDRA)]
    hydra = [str(o.input_line) for key, o in by_key.items() if key.startswith(OWNED_BY_HYDRA)]
    arms = _arms(task, hydra, config_name)
    factors = _factors(arms)
    if idle := [key for key in factors if not is_scientific(key) and key != "dataset.path"]:
        raise ConfigError([f"{key}: cannot be swept; its values would give the same cell" for key in idle])
    found: dict[Arm, Composed] = {}
    problems: dict[str, list[str]] = {}
    for arm in arms:
        try:
            found[arm] = composed([*hydra, *arm], config_name)
        except ConfigError as error:
            for problem in error.problems:
                problems.setdefault(problem, []).append(" ".join(_varied(arm, factors)))
    if problems:
        raise ConfigError([_with_arms(problem, names, len(arms)) for problem, names in problems.items()])
    fingerprints = _prepared_data([c.config for c in found.values()])
    cells: dict[str, Cell] = {}
    for arm, arm_config in found.items():
        fingerprint = fingerprints[arm_config.config.dataset, arm_config.config.data_dir]
        cell = Cell.of(arm_config, arm, fingerprint, _varied(arm, factors))
        cells.setdefault(cell.id, cell)
    return Plan(factors, tuple(cells.values()), len(arms) - len(cells))


def _arms(task: Sequence[Override], hydra: Sequence[str], config_name: str) -> list[Arm]:
    """Every combination of the values on the command line, each with the grid that its own experiment file declares."""
    axes = [_values(override) for override in task]
    declared: dict[Arm, list[Override]] = {}
    arms = []
    for arm in itertools.product(*axes):
        recipe = tuple(text for text in arm if _key(text) == "experiment")
        if recipe not in declared:
            declared[recipe] = parse(declared_grid([*hydra, *recipe], config_name))
        keys = {_key(text) for text in arm}
        more = [_values(override) for override in declared[recipe] if override.get_key_element() not in keys]
        arms += [arm + rest for rest in itertools.product(*more)]
    return arms


def _factors(arms: Sequence[Arm]) -> dict[str, tuple[str, ...]]:
    """The overrides of each key that are not the same in all arms."""
    values: dict[str, dict[str, None]] = {}
    for text in itertools.chain.from_iterable(arms):
        values.setdefault(_key(text), {})[text] = None
    common = set(arms[0]).intersection(*arms)
    return {key: tuple(texts) for key, texts in values.items() if not common.issuperset(texts)}


def _values(override: Override) -> list[str]:
    """The override once for each value that it sweeps over."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    if not override.is_discrete_sweep():
        raise ConfigError([f"{override.input_line}: a grid needs values to try, as in key=1,2 or key=range(1,4)"])
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def _varied(arm: Sequence[str], factors: Container[str]) -> list[str]:
    """The overrides of an arm that differ between arms."""
    return [text for text in arm if _key(text) in factors]


def _key(text: str) -> str:
    return text.split("=")[0]


def _with_arms(problem: str, arms: Sequence[str], num_arms: int) -> str:
    if len(arms) == num_arms:
        return problem
    more = f" and {len(arms) - 3} more" if len(arms) > 3 else ""
    return f"{problem}\n(in {'; '.join(arms[:3])}{more})"


def _prepared_data(configs: Sequence[Config]) -> dict[tuple[Part, Path], str]:
    """The fingerprint of every data set, with its files in place before any cell starts."""
    fingerprints = {}
    for dataset, data_dir in dict.fromkeys((c.dataset, c.data_dir) for c in configs):
        source: Dataset = dataset.build(data_dir)
        try:
            source.prepare()
            fingerprints[dataset, data_dir] = source.fingerprint
        except DataError as error:
            raise ConfigError([str(error)]) from None
    return fingerprints
