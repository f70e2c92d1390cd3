"""The grid of a sweep: every combination of the values on the command line and of those that a configuration declares.

A configuration, such as an experiment, declares a grid in `hydra.sweeper.params`, and a list of grids in
`hydra.sweeper.blocks` for values that belong together: the sweep is the union of the blocks, each combined with
`params`. If both name a key, the block overrides `params`, and the command line overrides both. A key that a block does
not name has, in the cells of that block, the value that the configuration gives it.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from hydra import compose
from hydra.core.override_parser.types import Override, RangeSweep, Transformer
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from image_sweeps.config.overrides import OWNED_BY_HYDRA, options_of, parse
from image_sweeps.config.problems import ConfigError

Arm = tuple[str, ...]
"""The overrides of one combination, in the order in which they are applied."""

Grid = dict[str, list[str]]
"""The values to try for each key, as overrides: `{"model": ["model=cnn", "model=mlp"]}`."""

MAX_ARMS = 100_000
"""The largest number of arms in a grid. More are a mistake, as in `range(1e9)`, that would fill the memory."""

BLOCKS = "hydra.sweeper.blocks"
PARAMS = "hydra.sweeper.params"
EXAMPLE = "{model: cnn, optimizer.lr: '0.01,0.1'}"


def arms_of(overrides: Sequence[Override], hydra: Sequence[str], config_name: str) -> list[Arm]:
    """Return all combinations, the first override varying slowest. Needs `composition.hydra_at`.

    Args:
        overrides: the overrides of the command line, each key once.
        hydra: overrides of Hydra's own keys, which hold for all arms.
        config_name: the name of the primary configuration file.

    Raises:
        ConfigError: if a declared grid is invalid, or the grid is too large.
    """
    asked = {key_of(texts[0]): texts for texts in map(swept_values, overrides)}
    _refuse_too_many(asked)
    declared: dict[Arm, list[Grid]] = {}
    arms = []
    for said in itertools.product(*asked.values()):
        recipe = tuple(text for text in said if key_of(text) == "experiment")
        if recipe not in declared:
            declared[recipe] = _declared(hydra, recipe, config_name)
        others = tuple(text for text in said if text not in recipe)
        for grid in declared[recipe]:
            more = [texts for key, texts in grid.items() if key not in asked]
            _refuse_too_many({**asked, **grid})
            arms += [(*recipe, *combination, *others) for combination in itertools.product(*more)]
    return arms


def factors_of(arms: Sequence[Arm]) -> dict[str, tuple[str, ...]]:
    """Return the overrides of each key that is not the same in all arms."""
    values: dict[str, dict[str, None]] = {}
    for text in itertools.chain.from_iterable(arms):
        if not text.startswith(OWNED_BY_HYDRA):
            values.setdefault(key_of(text), {})[text] = None
    common = set(arms[0]).intersection(*arms)
    return {key: tuple(texts) for key, texts in values.items() if not common.issuperset(texts)}


def key_of(text: str) -> str:
    """Return the key of an override."""
    return text.split("=")[0]


def _refuse_too_many(grid: Grid) -> None:
    num_arms = math.prod(map(len, grid.values()))
    if num_arms > MAX_ARMS:
        sizes = ", ".join(f"{key} has {len(texts)}" for key, texts in grid.items() if len(texts) > 1)
        raise ConfigError([f"the grid has {num_arms} combinations, more than {MAX_ARMS}: {sizes} values"])


def swept_values(override: Override) -> list[str]:
    """Return the override once for each value that it sweeps over.

    `++key` and `key` mean the same: Hydra adds a key only if it is missing, and the configuration has all keys.
    """
    key = override.get_key_element()
    line = str(override.input_line)
    if override.is_force_add() and not options_of(override.key_or_group):
        key, line = key.removeprefix("++"), line.removeprefix("++")
    if not override.is_sweep_override():
        return [line]
    if not override.is_discrete_sweep():
        raise ConfigError([f"{override.input_line}: a grid needs values to try, as in key=1,2 or key=range(1,4)"])
    if (problem := _uncountable(override.value())) is not None:
        raise ConfigError([f"{override.input_line}: {problem}"])
    values = [f"{key}={value}" for value in dict.fromkeys(override.sweep_string_iterator())]
    if not values:
        raise ConfigError([f"{override.input_line}: holds no value to try"])
    return values


def _uncountable(sweep: Any) -> str | None:
    """Return why the values of a range cannot be listed, or None; Hydra itself would list any number of them."""
    if not isinstance(sweep, RangeSweep):
        return None
    start, stop, step = (float(part) for part in (sweep.start or 0, sweep.stop or 0, sweep.step))
    if not (math.isfinite(start) and math.isfinite(stop) and math.isfinite(step) and step):
        return "a range needs finite ends, and a finite step other than 0"
    if (num_values := (stop - start) / step) > MAX_ARMS:
        return f"has {num_values:.0f} values, more than the {MAX_ARMS} combinations that a grid may have"
    return None


def _declared(hydra: Sequence[str], recipe: Arm, config_name: str) -> list[Grid]:
    """Return the grids that a configuration declares, or one grid without keys if it declares none.

    Hydra reads them from the configuration without the swept choices; here every experiment may declare its own.
    """
    try:
        sweeper = compose(config_name, [*hydra, *recipe], return_hydra_config=True).hydra.sweeper
    except (HydraException, OmegaConfBaseException, ValueError, TypeError):  # TypeError: a choice that is not a name
        return [{}]  # the mistake is reported when the whole arm is composed
    problems: list[str] = []
    params, blocks = _said(sweeper, "params"), _said(sweeper, "blocks")
    common = {} if params is None else _grid(PARAMS, params, problems)
    grids = [common]
    if isinstance(blocks, list) and blocks:
        named = [_grid(f"{BLOCKS}[{position}]", block, problems) for position, block in enumerate(blocks)]
        # otherwise the overrides of a cell would by themselves ask for the other blocks again
        only = {} if any(key_of(text) == BLOCKS for text in hydra) else {BLOCKS: [f"{BLOCKS}=null"]}
        grids = [{**block, **{k: texts for k, texts in common.items() if k not in block}, **only} for block in named]
    elif blocks is not None:
        problems.append(f"{BLOCKS} = {blocks!r}: must be a list of grids, as in [{EXAMPLE}, {{model: mlp}}], or null")
    if problems:
        raise ConfigError([f"{problem}\n(in {' '.join(recipe)})" if recipe else problem for problem in problems])
    return grids


def _said(sweeper: DictConfig, key: str) -> Any:
    """Return an option of the sweeper as plain containers, or None: another sweeper may have no such key."""
    if key not in sweeper:
        return None
    try:
        node = sweeper[key]
        return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    except OmegaConfBaseException as error:
        raise ConfigError([f"hydra.sweeper.{key}: {str(error).splitlines()[0]}"]) from None


def _grid(where: str, declared: Any, problems: list[str]) -> Grid:
    """Return the values of each key of a declared grid; add mistakes to `problems`."""
    if not isinstance(declared, dict):
        problems.append(f"{where} = {declared!r}: must be a mapping of overrides, as in {EXAMPLE}")
        return {}
    grid = {}
    for key, value in declared.items():
        text = f"{key}={value if isinstance(value, str) else Transformer.str(value)}"
        try:
            (override,) = parse([text])
            values = swept_values(override)
        except ConfigError as error:
            problems += [f"{where}: {problem}" for problem in error.problems]
            continue
        if override.is_hydra_override():
            problems.append(f"{where}: {text}: Hydra's own keys are the same for the whole sweep")
        grid[key_of(values[0])] = values
    return grid
