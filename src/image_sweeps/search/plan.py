"""The plan of a search, made from one command line; its space is checked before the first trial begins."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hydra import compose
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from image_sweeps.cell.cell import Cell
from image_sweeps.cell.search_record import CONFIGURATION
from image_sweeps.config.composition import Composed, Composer
from image_sweeps.config.options import SWEEPER
from image_sweeps.config.overrides import ParsedOverride, parse
from image_sweeps.config.problems import ConfigError, near
from image_sweeps.config.schema import SEED
from image_sweeps.report.design import SPLITS
from image_sweeps.report.formatting import short
from image_sweeps.search.options import SearchOptions
from image_sweeps.search.space import Choice, Parameter, Point, Space, parameter_of
from image_sweeps.sweep.grid import key_of
from image_sweeps.sweep.plan import (
    Source,
    composed_arms,
    overrides_of_cell,
    prepared_data,
    refuse_unwritable,
    source_of,
    unsweepable,
)

MAX_PROBES = 200
"""The largest number of combinations to compose before a search, a few milliseconds each; see `Space.probes`."""

DEFAULT = "default"
"""The name of the configuration without any value from the search."""

ByKey = dict[str, Parameter | str]
"""The parameter of each key, or its override if there is nothing to choose."""


@dataclass(frozen=True)
class SearchPlan:
    """A search that has not run yet.

    Attributes:
        space: the parameters that vary.
        options: the options of the search.
        fixed: the overrides that all trials share.
        hydra: the overrides of Hydra's own keys.
        composer: caches the groups that the probes have chosen: editing `conf/` during the search has no effect.
        fingerprints: the fingerprints of the data sets.
        default: the cell of the default configuration, without any value from the search.
    """

    space: Space
    options: SearchOptions
    fixed: tuple[str, ...]
    hydra: tuple[str, ...]
    composer: Composer
    fingerprints: dict[Source, str]
    default: Cell = field(repr=False)

    @property
    def factors(self) -> dict[str, tuple[str, ...]]:
        """The keys that vary, as in `Plan`, but each with its range as text: the values are found during the search."""
        return {CONFIGURATION: (), **{key: self.space.describe(key) for key in self.space.keys()}, SEED: ()}  # noqa: SIM118

    def trial(self, point: Point, label: str) -> Cell:
        """Return the cell of a trial. Needs `composition.hydra_at`.

        Raises:
            ConfigError: if the values of the point do not go together.
        """
        overrides = self.space.overrides(point)
        return self._cell(overrides, f"{label} {' '.join(map(_short, overrides))}", label)

    def confirmation(self, point: Point | None, label: str, seed: int) -> Cell:
        """Return the cell of a configuration, or of the default one, with this seed. Needs `composition.hydra_at`."""
        overrides = [] if point is None else self.space.overrides(point)
        return self._cell([*overrides, f"{SEED}={seed}"], f"{label} {SEED}={seed}", label)

    def _cell(self, overrides: Sequence[str], name: str, label: str) -> Cell:
        own = {key_of(text) for text in overrides}
        arm = [*(text for text in self.fixed if key_of(text) not in own), *overrides]
        composed = self.composer.composed(arm)
        cell = Cell.of(composed, overrides_of_cell(tuple(arm), self.hydra), self._fingerprint(composed), overrides)
        levels = {CONFIGURATION: label, SEED: str(composed.config.seed), **cell.levels}
        return replace(cell, name=name, levels=levels)

    def _fingerprint(self, composed: Composed) -> str:
        source = source_of(composed.config)
        if source not in self.fingerprints:
            self.fingerprints.update(prepared_data([composed.config]))
        return self.fingerprints[source]


def plan_search(overrides: Sequence[str], config_name: str = "config") -> SearchPlan:
    """Return the search that `overrides` ask for. Needs `composition.hydra_at`.

    Raises:
        ConfigError: with every mistake in the options; if there is none, in the space; if there is none, in the default
            configuration and at the ends of the space; or with the reason why a data set is not available.
    """
    by_key = {o.get_key_element(): o for o in parse(overrides)}  # the last override of a key counts
    task = [o for o in by_key.values() if not o.is_hydra_override()]
    hydra = tuple(str(o.input_line) for o in by_key.values() if o.is_hydra_override())
    problems: list[str] = []
    asked = _asked(task, problems)
    recipe = [said for key, said in asked.items() if key == "experiment" and isinstance(said, str)]
    options = SearchOptions.checked(_declared(hydra, recipe, config_name))
    space = _space(options, asked, problems)
    fixed = tuple(said for said in asked.values() if isinstance(said, str))
    searched = space.keys()
    problems += unsweepable(searched)
    drawn = [key for key in (SEED, *SPLITS) if key in searched]
    problems += [
        f"{key}: cannot be searched: no value of it is better; {SWEEPER}.confirm_seeds tries others" for key in drawn
    ]
    if options.sampler.name == "grid" and space.grid() is None:
        problems.append(f"{SWEEPER}.sampler = 'grid': interval(...) has no end of points; take range(...), or values")
    if problems:
        raise ConfigError(problems)
    composer = Composer(config_name, hydra)
    probes = [(*fixed, *space.overrides(point)) for point in space.probes(MAX_PROBES)]
    found = composed_arms(list(dict.fromkeys([fixed, *probes])), space.keys(), composer)
    default = found[fixed]
    refuse_unwritable(default.config)
    fingerprints = prepared_data([composed.config for composed in found.values()])
    cell = Cell.of(default, overrides_of_cell(fixed, hydra), fingerprints[source_of(default.config)])
    return SearchPlan(space, options, fixed, hydra, composer, fingerprints, replace(cell, name=DEFAULT))


def _asked(task: Sequence[Override], problems: list[str]) -> ByKey:
    """Return the parameter or override of each key of the command line; add mistakes to `problems`."""
    asked: ByKey = {}
    for override in task:
        try:
            said = parameter_of(override)
        except ConfigError as error:
            problems += error.problems
            continue
        key = key_of(said) if isinstance(said, str) else said.key
        asked[key] = said
        if key == "experiment" and not isinstance(said, str):
            problems.append(f"{override.input_line}: a search takes one recipe, as in experiment=...")
    return asked


def _declared(hydra: Sequence[str], recipe: Sequence[str], config_name: str) -> dict[str, Any]:
    """Return the sweeper's options in the configuration, with the experiment in `recipe`, as plain containers."""
    if missing := [problem for text in recipe if (problem := ParsedOverride.parse(text).problem)]:
        raise ConfigError(missing)
    try:
        sweeper = compose(config_name, [*hydra, *recipe], return_hydra_config=True).hydra.sweeper
        content: Any = OmegaConf.to_container(sweeper, resolve=True)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError([str(error).strip().splitlines()[0]]) from None
    return {key: value for key, value in content.items() if key != "_target_"}


def _space(options: SearchOptions, asked: ByKey, problems: list[str]) -> Space:
    """Return the space of the command line, and of the configuration for keys that the command line leaves open."""
    said: dict[str, str] = {}
    always = [parameter for parameter in asked.values() if not isinstance(parameter, str)]
    declared = _parameters(f"{SWEEPER}.params", options.params or {}, problems)
    for key, parameter in declared.items():
        if key in asked:
            continue
        if isinstance(parameter, str):
            asked[key] = parameter
        else:
            always.append(parameter)
    known = {parameter.name: parameter for parameter in always}
    when: dict[tuple[str, str], tuple[Parameter, ...]] = {}
    for key, value, where, inner in _conditions(options.when or {}):
        parameters = _parameters(where, inner, problems, f" if {key}={value}")
        when[key, value] = tuple(p for p in parameters.values() if not isinstance(p, str))
        idle_keys = [k for k, parameter in parameters.items() if isinstance(parameter, str)]
        problems += [f"{where}.{k}: has nothing to choose; give several values, or a range" for k in idle_keys]
    problems += _unreachable(known, when)
    if not always:
        problems.append(
            "there is nothing to search: give values or ranges, as in 'optimizer.lr=tag(log,interval(1e-4,1))', or "
            f"{SWEEPER}.params"
        )
    for parameter in [*always, *(p for inner in when.values() for p in inner)]:
        said[parameter.name] = _format_parameter(parameter)
    return Space(said, tuple(always), when)


def _parameters(where: str, declared: Mapping[str, Any], problems: list[str], suffix: str = "") -> ByKey:
    """Return the parameter or override of each key of `declared`; add mistakes to `problems`."""
    found: ByKey = {}
    for key, value in declared.items():
        try:
            (override,) = parse([f"{key}={_text(value)}"])
            found[key] = parameter_of(override, f"{key}{suffix}")
            if override.is_hydra_override():
                problems.append(f"{where}.{key}: Hydra's own keys are the same for the whole search")
        except ConfigError as error:
            problems += [f"{where}: {problem}" for problem in error.problems]
    return found


def _text(value: Any) -> str:
    from hydra.core.override_parser.types import Transformer

    return value if isinstance(value, str) else str(Transformer.str(value))


def _conditions(
    when: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    for key, by_value in when.items():
        for value, inner in by_value.items():
            yield key, value, f"{SWEEPER}.when.{key}.{value}", inner


def _unreachable(always: Mapping[str, Parameter], when: Mapping[tuple[str, str], Sequence[Parameter]]) -> Iterator[str]:
    """Yield the conditions that no trial can meet, and the parameters that a trial would have twice, as problems."""
    keys = {parameter.key for parameter in always.values()}
    for (key, value), inner in when.items():
        where = f"{SWEEPER}.when.{key}.{value}"
        parent = always.get(key)
        if not isinstance(parent, Choice):
            choices = [p.key for p in always.values() if isinstance(p, Choice)]
            yield (
                f"{where}: {key} has to be a parameter with several values, as in {key}=...,{value}."
                f"{near(key, choices)}"
            )
        elif value not in parent.values:
            yield f"{where}: {key} is never {value}.{near(value, parent.values)} It is {', '.join(parent.values)}"
        yield from (f"{where}.{p.key}: is a parameter of all trials already" for p in inner if p.key in keys)


def _format_parameter(parameter: Parameter) -> str:
    """Return the values of a parameter as text for people, as in `0.0001 to 1, logarithmic`."""
    if isinstance(parameter, Choice):
        return ", ".join(parameter.values)
    step = "" if parameter.step in (None, 1) else f" in steps of {parameter.step:g}"
    return f"{parameter.low:g} to {parameter.high:g}{step}{', logarithmic' * parameter.log}"


def _short(override: str) -> str:
    """Return an override with its number rounded, for the name of a cell; the cell itself keeps all digits."""
    key, value = override.split("=", 1)
    return f"{key}={short(value)}"
