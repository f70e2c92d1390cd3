"""A cache of compositions: Hydra composes each set of group choices once, and as few sets as possible.

Hydra needs about 60 ms to compose a configuration, mostly to find, read and merge the files of `conf/`.
"""

import pickle
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from hydra import compose
from hydra.core.override_parser.types import OverrideType
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from image_sweeps.config.overrides import ParsedOverride, loader
from image_sweeps.config.problems import ConfigError
from image_sweeps.config.schema import GROUPS

Choices = tuple[ParsedOverride, ...]

ENVIRONMENT = re.compile(r"\$\{oc\.env:[^${}]*\}")
"""The pattern of an interpolation of an environment variable, which refers to no other key of the configuration."""


@dataclass(frozen=True, eq=False)
class Base:
    """The composition of a set of choices, before any value is changed.

    Attributes:
        pickled: the configuration without Hydra's own part; unpickling it is 6 times as fast as copying it.
        choices: the choice of each group.
        plain: the resolved configuration; empty if it refers to its own keys or cannot be resolved.
    """

    pickled: bytes
    choices: dict[str, str]
    plain: dict[str, Any]

    def cfg(self) -> DictConfig:
        """Return a new copy of the configuration, which the caller may change."""
        cfg: DictConfig = pickle.loads(self.pickled)  # noqa: S301, written by this process
        return cfg


class CompositionCache:
    """A cache that composes each set of choices once.

    Args:
        config_name: the name of the primary configuration file.
    """

    def __init__(self, config_name: str) -> None:
        self.config_name = config_name
        self.split_by_group = cache(self._split_by_group)
        self._made = cache(self._make)
        self._names_are_literal = cache(self._have_literal_names)
        self._file = cache(_file)
        self._first: dict[str, ParsedOverride] = {}

    def of(self, choices: Choices) -> Base:
        """Return the composition of the choices. Needs `hydra_at`.

        Raises:
            ConfigError: if the choices cannot be composed.
        """
        made = self._made(choices)
        if isinstance(made, str):
            raise ConfigError([made])
        return made

    def _make(self, choices: Choices) -> Base | str:
        """Compose the choices, or return the reason why they cannot be composed."""
        try:
            cfg = compose(self.config_name, [choice.text for choice in choices], return_hydra_config=True)
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            return explained(error)
        own = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
        OmegaConf.set_struct(own, True)
        chosen = cfg.hydra.runtime.choices
        return Base(
            pickle.dumps(own), {group: chosen[group] for group in GROUPS if group in chosen}, _self_contained(own)
        )

    def _split_by_group(self, choices: Choices) -> tuple[Base, dict[str, Base]]:
        """Return a base for most groups, and for each of the other groups, by name, a base to take its part from.

        The other groups are those whose choice fills only the part of its own group. In every other base, the first
        such choice that was met replaces it, so that 6 activations and 4 norms are composed 9 times, not 24 times.

        Raises:
            ConfigError: if the choices cannot be composed.
        """
        named = Counter(one.parsed.key_or_group for one in choices)
        own = {one.top: one for one in choices if self._is_local(one) and named[one.top] == 1}
        first = {group: self._first.setdefault(group, one) for group, one in own.items()}

        def substituted(others: Mapping[str, ParsedOverride]) -> Choices:
            return tuple(others.get(one.parsed.key_or_group, one) for one in choices)

        trunk = self.of(substituted(first))
        leaves = {g: self.of(substituted({**first, g: one})) for g, one in own.items() if one is not first[g]}
        closed = trunk.plain and all(leaf.plain for leaf in leaves.values())
        if leaves and not (closed and self._names_are_literal(substituted(first))):
            return self.of(choices), {}
        return trunk, leaves

    def _is_local(self, choice: ParsedOverride) -> bool:
        """Return whether a choice fills only the part of its own group."""
        parsed = choice.parsed
        if choice.top not in GROUPS or parsed.type is not OverrideType.CHANGE or parsed.package:
            return False
        file = self._file(f"{choice.top}/{parsed.value()}")
        return file is not None and file.header["package"] is None and "defaults" not in file.config

    def _have_literal_names(self, choices: Choices) -> bool:
        """Return whether no composed file takes its name from choices of groups, as in `- both: ${model}_${norm}`."""
        texts = [choice.text for choice in choices]
        used = loader().compute_defaults_list(self.config_name, texts, RunMode.RUN).defaults
        files = [self._file(default.config_path) for default in used]
        return not any(file is None or "${" in str(_plain(file.config).get("defaults")) for file in files)


def _file(path: str) -> ConfigResult | None:
    """Return the configuration file at `path` before composition, or None if it does not exist."""
    return next((source.load_config(path) for source in loader().get_sources() if source.is_config(path)), None)


def _plain(cfg: Any) -> dict[str, Any]:
    return dict(OmegaConf.to_container(cfg))  # type: ignore[arg-type]


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """Return `cfg` as plain containers with all interpolations resolved."""
    return {str(key): value for key, value in OmegaConf.to_container(cfg, resolve=True).items()}  # type: ignore[union-attr]


def _self_contained(cfg: DictConfig) -> dict[str, Any]:
    """Return `cfg` resolved, or an empty dict if it refers to its own keys or cannot be resolved."""
    if "${" in ENVIRONMENT.sub("", str(OmegaConf.to_container(cfg))):
        return {}
    try:
        return resolved(cfg)
    except OmegaConfBaseException:
        return {}


def explained(error: Exception) -> str:
    """Return the message of an error of Hydra or OmegaConf, with the key if the error knows it."""
    if isinstance(error.__cause__, OmegaConfBaseException):
        return f"{str(error).strip()}: {explained(error.__cause__)}".removeprefix(": ")
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key}: {str(error).splitlines()[0]}"
    return str(error).strip()


def failure(error: Exception) -> str:
    """Return `explained` for an error of Hydra or OmegaConf, else the type and the message of the error."""
    known = isinstance(error, HydraException | OmegaConfBaseException)
    return explained(error) if known else f"{type(error).__name__}: {error}"
