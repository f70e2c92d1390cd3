"""From a command line's overrides to checked configurations, with every mistake in them found.

Hydra stops at the first override it cannot apply. Here each override is looked at by itself, the sound ones are
composed, and whatever is wrong with the outcome is added, so that the user mends a command line once.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from hydra import compose, version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.config import GROUPS, Config
from src.problems import ConfigError, near

CONF = Path(__file__).parent.parent / "conf"

OWNED_BY_HYDRA = ("hydra.", "hydra/")


def unique_id() -> str:
    """A name for a folder that no other start can share; it sorts by time."""
    return f"{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"


OmegaConf.register_new_resolver("unique_id", unique_id, use_cache=True, replace=True)


@dataclass(frozen=True)
class Composed:
    """A resolved configuration as plain containers, the same checked, and the choices it was put together from."""

    raw: dict[str, Any]
    config: Config
    choices: dict[str, str]

    @classmethod
    def of(cls, cfg: DictConfig, choices: Mapping[str, str]) -> Self:
        """The configuration of a Hydra job, `cfg`.

        Raises:
            ConfigError: with all that is wrong with it.
        """
        raw = {str(key): value for key, value in OmegaConf.to_container(cfg, resolve=True).items()}  # type: ignore[union-attr]
        return cls(raw, Config.checked(raw), {group: choices[group] for group in GROUPS})


@contextmanager
def hydra_at(config_dir: Path = CONF, extra_dir: Path | None = None) -> Iterator[None]:
    """Make `config_dir`, and `extra_dir` after it, known to Hydra for as long as the block runs.

    The same as Hydra does for its flags --config-path and --config-dir.
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


def parse(overrides: Sequence[str]) -> list[Override]:
    """The overrides in Hydra's grammar.

    Raises:
        ConfigError: naming each one that is not.
    """
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    parsed: list[Override] = []
    problems = []
    for text in overrides:
        try:
            parsed += parser.parse_overrides([text])
        except HydraException as error:
            _, reason, *_ = [*str(error).splitlines(), ""]  # the first line repeats the override
            problems.append(f"{text}: is not in Hydra's override grammar (key=value). {reason}")
    if problems:
        raise ConfigError(problems)
    return parsed


def composed(overrides: Sequence[str], config_name: str = "config") -> Composed:
    """The configuration that `overrides`, none of which sweeps, make of `conf/`. Needs `hydra_at`.

    Raises:
        ConfigError: with all that is wrong with the overrides, the files they choose, and the outcome.
    """
    parsed = parse(overrides)
    known_groups = not any(override.key_or_group == "hydra.searchpath" for override in parsed)
    sound, problems = [], []
    for override in parsed:
        if known_groups and (problem := _group_problem(override)):
            problems.append(problem)
        else:
            sound.append(_addable(override))
    try:
        cfg = compose(config_name, sound, return_hydra_config=True)
        own = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
        outcome = Composed.of(own, cfg.hydra.runtime.choices)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from None
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError([*problems, _explained(error)]) from None
    if problems:
        raise ConfigError(problems)
    return outcome


def declared_grid(overrides: Sequence[str], config_name: str = "config") -> list[str]:
    """The sweep that a configuration declares for itself, in `hydra.sweeper.params`, as overrides. Needs `hydra_at`.

    Hydra reads it from the configuration without the swept choices; here every experiment may declare its own.
    """
    try:
        cfg = compose(config_name, list(overrides), return_hydra_config=True)
    except (HydraException, OmegaConfBaseException):
        return []  # what is wrong is said where the whole arm is composed
    return [f"{key}={value}" for key, value in (cfg.hydra.sweeper.get("params") or {}).items()]


def _group_problem(override: Override) -> str | None:
    """What is wrong with `group=choice`, where the override is one."""
    loader = GlobalHydra.instance().config_loader()
    group = override.key_or_group
    options: list[str] = loader.get_group_options(group, ObjectType.CONFIG)
    choice = override.value()
    if not options or override.is_delete() or choice is None:
        return None
    for name in choice if isinstance(choice, list) else [choice]:
        if str(name) not in options:
            return (
                f"{group}={name}: there is no such choice.{near(str(name), options)} "
                f"Choices of {group}: {', '.join(options)}"
            )
    return None


def _addable(override: Override) -> str:
    """`key=value` as `++key=value`: a misspelled key is then found by our check, which names the near ones."""
    text = str(override.input_line)
    is_value = not GlobalHydra.instance().config_loader().get_group_options(override.key_or_group)
    plain = override.type is not None and not (override.is_add() or override.is_force_add() or override.is_delete())
    return f"++{text}" if is_value and plain and not text.startswith(OWNED_BY_HYDRA) else text


def _explained(error: Exception) -> str:
    """What Hydra or OmegaConf say, with the key where they know it."""
    if isinstance(error.__cause__, OmegaConfBaseException):
        return f"{str(error).strip()}: {_explained(error.__cause__)}".removeprefix(": ")
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key}: {str(error).splitlines()[0]}"
    return str(error).strip()
