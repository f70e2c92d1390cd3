"""Overrides in Hydra's grammar, each checked by itself: Hydra stops at the first one that it cannot apply."""

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
    """Return Hydra's loader of the files in `conf/`. Needs `composition.hydra_at`."""
    return GlobalHydra.instance().config_loader()


def options_of(group: str, config_name: str | None = None, searchpath: Sequence[str] = ()) -> list[str]:
    """Return the choices of a group, or an empty list if there is no such group. Needs `composition.hydra_at`.

    A choice in a subfolder has its path as its name, as in `experiment=mine/first`.

    Args:
        group: the name of the group.
        config_name: the name of the primary configuration file, which may extend the search path.
        searchpath: the overrides that extend the search path, `hydra.searchpath=[...]`.
    """
    where = (config_name, list(searchpath))
    options: list[str] = loader().get_group_options(group, ObjectType.CONFIG, *where)
    if not group.startswith(OWNED_BY_HYDRA):  # subfolders there are groups of their own
        for folder in loader().get_group_options(group, ObjectType.GROUP, *where):
            options += [f"{folder}/{name}" for name in options_of(f"{group}/{folder}", config_name, searchpath)]
    return options


def parse(overrides: Sequence[str]) -> list[Override]:
    """Parse the overrides in Hydra's grammar.

    Raises:
        ConfigError: with every override that cannot be parsed.
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
    """Return why an override is not parsed, or None: the parser recurses at brackets and looks keys up as files."""
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
    """An override of one configuration, in the form in which Hydra applies it.

    Attributes:
        text: the override, with `key=value` as `++key=value`: our own check then reports a misspelled key with hints.
        parsed: `text` in Hydra's grammar.
        is_choice: whether the override selects files to compose, or is Hydra's own; others set values in the result.
        problem: the message that there is no such choice, else None.
    """

    text: str
    parsed: Override
    is_choice: bool
    problem: str | None

    @classmethod
    def parse(cls, text: str, look_up: Callable[[str], Sequence[str]] = options_of) -> Self:
        """Parse the override `text`, which is not a sweep; `look_up` returns the choices of a group.

        Raises:
            ConfigError: if the override is not in Hydra's grammar.
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
        """The first component of the key."""
        return self.parsed.key_or_group.split(".")[0]

    @property
    def is_plain(self) -> bool:
        """Whether the override sets a value without a package and without an interpolation of other keys."""
        return self.parsed.is_force_add() and self.parsed.package is None and "${" not in str(self.parsed.value())

    def apply(self, cfg: DictConfig) -> None:
        """Apply the override to `cfg`, as Hydra does after it has composed `cfg`.

        Raises:
            HydraException: if the override does not fit the configuration.
        """
        try:
            apply_overrides([self.parsed], cfg)
        except HydraException:
            raise
        except Exception as error:  # OmegaConf fails on a key that is not a list index
            raise HydraException(f"{self.text.removeprefix('++')}: {error}") from None


def _no_such_choice(override: Override, options: Sequence[str]) -> str | None:
    """Return the problem of a `group=choice` whose choice does not exist, else None."""
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
