"""What sets of choices make of `conf/`, each composed by Hydra once, and as few of them as will do.

Hydra needs about 60 ms to compose a configuration, most of it to find, read and merge files.
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
"""An interpolation that refers to nothing else in the configuration."""


@dataclass(frozen=True, eq=False)
class Base:
    """What a set of choices makes, before any value is changed.

    Attributes:
        pickled: the configuration, without Hydra's own part; read back 6 times as fast as it is copied.
        choices: of the groups.
        plain: the configuration resolved; empty where something in it refers to something else in it.
    """

    pickled: bytes
    choices: dict[str, str]
    plain: dict[str, Any]

    def cfg(self) -> DictConfig:
        """The configuration, to be changed."""
        cfg: DictConfig = pickle.loads(self.pickled)  # noqa: S301, written by this process
        return cfg


class CompositionCache:
    """Composes sets of choices, and remembers what they make.

    Args:
        config_name: of the primary file.
    """

    def __init__(self, config_name: str) -> None:
        self.config_name = config_name
        self.apart = cache(self._apart)
        self._made = cache(self._make)
        self._named_outright = cache(self._are_named_outright)
        self._file = cache(_file)
        self._first: dict[str, ParsedOverride] = {}

    def of(self, choices: Choices) -> Base:
        """What the choices make. Needs `hydra_at`.

        Raises:
            ConfigError: where they cannot be composed.
        """
        made = self._made(choices)
        if isinstance(made, str):
            raise ConfigError([made])
        return made

    def _make(self, choices: Choices) -> Base | str:
        """What the choices make, or why they cannot be composed."""
        try:
            cfg = compose(self.config_name, [choice.text for choice in choices], return_hydra_config=True)
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            return explained(error)
        own = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
        OmegaConf.set_struct(own, True)
        chosen = cfg.hydra.runtime.choices
        return Base(pickle.dumps(own), {group: chosen[group] for group in GROUPS if group in chosen}, _closed(own))

    def _apart(self, choices: Choices) -> tuple[Base, dict[str, Base]]:
        """What the choices make, but for some groups, whose part is to be taken from the base that stands by its name.

        These are the groups whose choice fills its own part and does nothing else. In the other bases the first such
        choice that was met stands in for it, so that 6 activations and 4 norms are composed 9 times, and not 24.

        Raises:
            ConfigError: where they cannot be composed.
        """
        named = Counter(one.parsed.key_or_group for one in choices)
        own = {one.top: one for one in choices if self._is_local(one) and named[one.top] == 1}
        first = {group: self._first.setdefault(group, one) for group, one in own.items()}

        def instead(others: Mapping[str, ParsedOverride]) -> Choices:
            return tuple(others.get(one.parsed.key_or_group, one) for one in choices)

        trunk = self.of(instead(first))
        leaves = {g: self.of(instead({**first, g: one})) for g, one in own.items() if one is not first[g]}
        closed = trunk.plain and all(leaf.plain for leaf in leaves.values())
        if leaves and not (closed and self._named_outright(instead(first))):
            return self.of(choices), {}
        return trunk, leaves

    def _is_local(self, choice: ParsedOverride) -> bool:
        """Whether a choice fills its own group, and does nothing else."""
        parsed = choice.parsed
        if choice.top not in GROUPS or parsed.type is not OverrideType.CHANGE or parsed.package:
            return False
        file = self._file(f"{choice.top}/{parsed.value()}")
        return file is not None and file.header["package"] is None and "defaults" not in file.config

    def _are_named_outright(self, choices: Choices) -> bool:
        """Whether no file that is composed is named by groups' choices, as by `- both: ${model}_${norm}`."""
        texts = [choice.text for choice in choices]
        used = loader().compute_defaults_list(self.config_name, texts, RunMode.RUN).defaults
        files = [self._file(default.config_path) for default in used]
        return not any(file is None or "${" in str(_plain(file.config).get("defaults")) for file in files)


def _file(path: str) -> ConfigResult | None:
    """The file of a configuration, as it stands."""
    return next((source.load_config(path) for source in loader().get_sources() if source.is_config(path)), None)


def _plain(cfg: Any) -> dict[str, Any]:
    return dict(OmegaConf.to_container(cfg))  # type: ignore[arg-type]


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """`cfg` as plain containers, with what it refers to in its place."""
    return {str(key): value for key, value in OmegaConf.to_container(cfg, resolve=True).items()}  # type: ignore[union-attr]


def _closed(cfg: DictConfig) -> dict[str, Any]:
    """`cfg` resolved, or nothing where it refers to itself, or to what is not there."""
    if "${" in ENVIRONMENT.sub("", str(OmegaConf.to_container(cfg))):
        return {}
    try:
        return resolved(cfg)
    except OmegaConfBaseException:
        return {}


def explained(error: Exception) -> str:
    """What Hydra or OmegaConf say, with the key where they know it."""
    if isinstance(error.__cause__, OmegaConfBaseException):
        return f"{str(error).strip()}: {explained(error.__cause__)}".removeprefix(": ")
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key}: {str(error).splitlines()[0]}"
    return str(error).strip()


def failure(error: Exception) -> str:
    """`explained`, or with the type of an error that is neither Hydra's nor OmegaConf's."""
    known = isinstance(error, HydraException | OmegaConfBaseException)
    return explained(error) if known else f"{type(error).__name__}: {error}"
