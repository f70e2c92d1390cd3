"""Overrides in Hydra's grammar, each looked at by itself: Hydra stops at the first one that it cannot apply."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig

from image_sweeps.config.hydra_internals import apply_overrides
from image_sweeps.config.problems import ConfigError, near

OWNED_BY_HYDRA = ("hydra.", "hydra/")

SEARCHPATH = "hydra.searchpath"

MAX_KEY = 200  # characters
MAX_DEPTH = 30


def loader() -> ConfigLoader:
    """What finds the files of `conf/`. Needs `compose.hydra_at`."""
    return GlobalHydra.instance().config_loader()


def options_of(group: str, config_name: str | None = None, searchpath: Sequence[str] = ()) -> list[str]:
    """The choices of a group; none where there is no such group. Needs `compose.hydra_at`.

    Args:
        group: its name.
        config_name: of the primary file, which may say where else files are looked for.
        searchpath: the overrides that do, `hydra.searchpath=[...]`.
    """
    return loader().get_group_options(group, ObjectType.CONFIG, config_name, list(searchpath))


def parse(overrides: Sequence[str]) -> list[Override]:
    """The overrides in Hydra's grammar.

    Raises:
        ConfigError: naming each one that is not.
    """
    parser = OverridesParser.create(loader())
    parsed: list[Override] = []
    problems = []
    for text in overrides:
        if problem := _unreadable(text):
            problems.append(problem)
            continue
        try:
            parsed += parser.parse_overrides([text])
        except HydraException as error:
            _, reason, *_ = [*str(error).splitlines(), ""]  # the first line repeats the override
            problems.append(f"{text}: is not in Hydra's override grammar (key=value). {reason}")
    if problems:
        raise ConfigError(problems)
    return parsed


def _unreadable(text: str) -> str | None:
    """Why an override is not read: the parser calls itself at every bracket, and keys are looked for as files."""
    key = text.partition("=")[0]
    if len(key) > MAX_KEY:
        return f"{key[:40]}...: no key has {len(key)} characters; at most {MAX_KEY}"
    depth = deepest = 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        deepest = max(deepest, depth)
    return (
        f"{text[:40]}...: has {deepest} brackets in one another; at most {MAX_DEPTH}" if deepest > MAX_DEPTH else None
    )


@dataclass(frozen=True, eq=False)
class ParsedOverride:
    """An override of one configuration, as Hydra is to apply it.

    Attributes:
        text: `key=value` as `++key=value`: a misspelled key is then found by our check, which names the near ones.
        parsed: the same in Hydra's grammar.
        is_choice: it says which files are composed, or is Hydra's own; any other is a value, applied to what they make.
        problem: why there is no such choice, if there is none.
    """

    text: str
    parsed: Override
    is_choice: bool
    problem: str | None

    @classmethod
    def parse(cls, text: str, look_up: Callable[[str], Sequence[str]] = options_of) -> Self:
        """The override `text`, which does not sweep; `look_up` gives the choices of a group.

        Raises:
            ConfigError: where it is not in Hydra's grammar.
        """
        (parsed,) = parse([text])
        options = look_up(parsed.key_or_group)
        if options or parsed.is_hydra_override():
            return cls(text, parsed, is_choice=True, problem=_no_such_choice(parsed, options))
        if parsed.is_add() or parsed.is_force_add() or parsed.is_delete():
            return cls(text, parsed, is_choice=False, problem=None)
        forced = replace(parsed, type=OverrideType.FORCE_ADD, input_line=f"++{text}")
        return cls(f"++{text}", forced, is_choice=False, problem=None)

    @property
    def top(self) -> str:
        """The first part of its key."""
        return self.parsed.key_or_group.split(".")[0]

    @property
    def is_plain(self) -> bool:
        """Whether it sets a value, below its own key, that refers to no other."""
        return self.parsed.is_force_add() and self.parsed.package is None and "${" not in str(self.parsed.value())

    def apply(self, cfg: DictConfig) -> None:
        """Change `cfg` as Hydra does after it has composed it.

        Raises:
            HydraException: where the override does not fit.
        """
        try:
            apply_overrides([self.parsed], cfg)
        except HydraException:
            raise
        except Exception as error:  # OmegaConf's own slip, on a key that is no position in a list
            raise HydraException(f"{self.text.removeprefix('++')}: {error}") from None


def _no_such_choice(override: Override, options: Sequence[str]) -> str | None:
    """What is wrong with `group=choice`, where the override is one."""
    if not options or override.is_delete():
        return None
    group, choice = override.key_or_group, override.value()
    for name in choice if isinstance(choice, list) else [choice]:
        shown = "null" if name is None else str(name)
        if name is None or shown not in options:
            return (
                f"{group}={shown}: there is no such choice.{near(shown, options)} "
                f"Choices of {group}: {', '.join(options)}"
            )
    return None
