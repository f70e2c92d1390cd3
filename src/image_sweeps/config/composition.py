"""Composition of overrides into validated configurations, with all mistakes collected.

Each override is parsed by itself, the valid ones are composed, and the problems of the composed configuration are
added, so that the user has to correct a command line only once.
"""

import shlex
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Self

from hydra import version
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from image_sweeps.config.composition_cache import Base, Choices, CompositionCache, explained, resolved
from image_sweeps.config.hydra_internals import Hydra, create_config_search_path
from image_sweeps.config.invocation import program
from image_sweeps.config.overrides import SEARCHPATH, ParsedOverride, options_of
from image_sweeps.config.problems import ConfigError
from image_sweeps.config.schema import GROUPS, Config
from image_sweeps.system.home import CONF


def unique_id() -> str:
    """Return a folder name that no other start of the program gets; such names sort by time."""
    return f"{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"


OmegaConf.register_new_resolver("unique_id", unique_id, use_cache=True, replace=True)
OmegaConf.register_new_resolver("program", lambda command: shlex.join(program(command)), replace=True)


@dataclass(frozen=True)
class Composed:
    """A resolved configuration as plain containers, its validated form, and the group choices that it comes from."""

    raw: dict[str, Any]
    config: Config
    choices: dict[str, str]

    @classmethod
    def of(cls, cfg: DictConfig, choices: Mapping[str, str]) -> Self:
        """Return the validated configuration of a Hydra job, `cfg`.

        Raises:
            ConfigError: with every problem of the configuration.
        """
        raw = resolved(cfg)
        return cls(raw, Config.checked(raw), {group: choices[group] for group in GROUPS})


@contextmanager
def hydra_at(config_dir: Path = CONF, extra_dir: Path | None = None) -> Iterator[None]:
    """Initialize Hydra with the search path `config_dir`, then `extra_dir`, while the block runs.

    Hydra does the same for its flags --config-path and --config-dir.
    """
    version.setbase("1.3")
    search_path = create_config_search_path(str(config_dir))
    if extra_dir is not None:
        search_path.prepend("command-line", f"file://{extra_dir.resolve()}", anchor=SearchPathQuery(provider="schema"))
    Hydra.create_main_hydra2(task_name="train", config_search_path=search_path)
    try:
        yield
    finally:
        GlobalHydra.instance().clear()


def composed(overrides: Sequence[str], config_name: str = "config") -> Composed:
    """Return the configuration composed of `conf/` and `overrides`, none of which is a sweep. Needs `hydra_at`.

    Raises:
        ConfigError: with every problem of the overrides, of the files that they choose, and of the result.
    """
    where = [text for text in overrides if text.startswith(SEARCHPATH)]
    return Composer(config_name, where).composed([text for text in overrides if text not in where])


Outcome = tuple[dict[str, Any], dict[str, str]]
"""A resolved configuration, and the group choices that it comes from."""


class Composer:
    """A composer of many similar configurations. Each one equals what Hydra composes of its overrides alone.

    The results share containers, so callers must not change them.

    Args:
        config_name: the name of the primary configuration file.
        hydra: overrides of Hydra's own keys, which apply to every configuration.
    """

    def __init__(self, config_name: str = "config", hydra: Sequence[str] = ()) -> None:
        self.hydra = tuple(hydra)
        searchpath = [text for text in hydra if text.startswith(SEARCHPATH)]
        options = cache(lambda group: options_of(group, config_name, searchpath))
        self._parsed_override = cache(lambda text: ParsedOverride.parse(text, options))
        self._cache = CompositionCache(config_name)
        self._part = cache(_part)

    def composed(self, overrides: Sequence[str]) -> Composed:
        """Return the configuration of these overrides, none of which is a sweep. Needs `hydra_at`.

        Raises:
            ConfigError: with every problem of the overrides, of the files that they choose, and of the result.
        """
        asked = self._parsed([*self.hydra, *overrides])
        problems = [one.problem for one in asked if one.problem]
        choices = tuple(one for one in asked if one.is_choice and not one.problem)
        values = [one for one in asked if not one.is_choice]
        try:
            raw, chosen = self._from_parts(choices, values) or self._whole(choices, values)
            outcome = Composed(raw, Config.checked(raw), chosen)
            problems += [f"{group}: takes one choice, as in {group}=..." for group in GROUPS if group not in chosen]
        except ConfigError as error:
            raise ConfigError([*problems, *error.problems]) from None
        if problems:
            raise ConfigError(problems)
        return outcome

    def _parsed(self, overrides: Sequence[str]) -> list[ParsedOverride]:
        asked: list[ParsedOverride] = []
        problems: list[str] = []
        for text in overrides:
            try:
                asked.append(self._parsed_override(text))
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(problems)
        return asked

    def _whole(self, choices: Choices, values: Sequence[ParsedOverride]) -> Outcome:
        """Compose the choices, then apply the values one after the other, as Hydra does."""
        base = self._cache.of(choices)
        cfg = base.cfg()
        try:
            for value in values:
                value.apply(cfg)
            return resolved(cfg), base.choices
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError([explained(error)]) from None

    def _from_parts(self, choices: Choices, values: Sequence[ParsedOverride]) -> Outcome | None:
        """Assemble the result of `_whole` from one part per top-level key; most parts are cached already.

        Return None if a part may depend on another one, or if a part cannot be composed.
        """
        touched: dict[str, list[ParsedOverride]] = {}
        for value in values:
            touched.setdefault(value.top, []).append(value)
        try:
            trunk, leaves = self._cache.split_by_group(choices)
            raw, chosen = dict(trunk.plain), dict(trunk.choices)
            for group, leaf in leaves.items():
                raw[group], chosen[group] = leaf.plain[group], leaf.choices[group]
            if not raw or not all(value.is_plain and value.top in raw for value in values):
                return None
            for top, asked in touched.items():
                raw[top] = self._part(leaves.get(top, trunk), top, tuple(asked))
        except (ConfigError, HydraException, OmegaConfBaseException):
            return None  # `_whole` reports the reason
        return raw, chosen


def _part(base: Base, top: str, values: tuple[ParsedOverride, ...]) -> Any:
    """Return the resolved part of `base` below one top-level key, with `values` applied."""
    part = OmegaConf.masked_copy(base.cfg(), [top])
    OmegaConf.set_struct(part, True)
    for value in values:
        value.apply(part)
    return resolved(part)[top]
