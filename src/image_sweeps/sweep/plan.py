"""The plan of a sweep, made from one command line: all cells are composed and checked before the first one runs."""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from image_sweeps.cell.cell import Cell
from image_sweeps.config.composition import Composed, Composer
from image_sweeps.config.overrides import SEARCHPATH, parse
from image_sweeps.config.problems import ConfigError
from image_sweeps.config.schema import SWEEP_KEYS, UNSPLIT, Config, Part, is_scientific
from image_sweeps.dataset import DataError, Dataset
from image_sweeps.sweep.grid import Arm, arms_of, factors_of, key_of
from image_sweeps.system.console import planning
from image_sweeps.system.files import folder_problem

OF_THE_SWEEP = (*sorted(SWEEP_KEYS), "devices", "outputs_dir", "tracking")
"""Keys that must be the same for all cells."""


@dataclass(frozen=True)
class Plan:
    """The cells of a sweep, each once.

    Attributes:
        factors: the overrides of each key that varies: `{"model": ("model=cnn", "model=cnn_batch")}`. If only some
            cells name a key, the others have the value that their configuration gives it.
        cells: the cells in the order of the grid.
        num_duplicates: the number of arms that give the same cell as an earlier arm.
    """

    factors: dict[str, tuple[str, ...]]
    cells: tuple[Cell, ...]
    num_duplicates: int


def plan(overrides: Sequence[str], config_name: str = "config") -> Plan:
    """Plan the grid that `overrides` span; those of Hydra's own keys hold for every arm. Needs `composition.hydra_at`.

    Raises:
        ConfigError: with every mistake in any arm, naming the arm, or with the reason why a data set is not available.
    """
    by_key = {o.get_key_element(): o for o in parse(overrides)}  # the last override of a key counts
    task = [o for o in by_key.values() if not o.is_hydra_override()]
    hydra = [str(o.input_line) for o in by_key.values() if o.is_hydra_override()]
    arms = arms_of(task, hydra, config_name)
    factors = factors_of(arms)
    if problems := list(unsweepable(factors)):
        raise ConfigError(problems)
    found = composed_arms(arms, factors, Composer(config_name, hydra))
    refuse_unwritable(next(iter(found.values())).config)
    fingerprints = prepared_data([c.config for c in found.values()])
    cells: dict[str, Cell] = {}
    for arm, composed in found.items():
        fingerprint = fingerprints[source_of(composed.config)]
        cell = Cell.of(composed, overrides_of_cell(arm, hydra), fingerprint, _varied(arm, factors))
        cells.setdefault(cell.id, cell)
    return Plan(factors, tuple(cells.values()), len(arms) - len(cells))


def overrides_of_cell(arm: Arm, hydra: Sequence[str]) -> list[str]:
    """Return the overrides that make a cell by itself, without the keys that say how a sweep is run."""
    where = [text for text in hydra if key_of(text) == SEARCHPATH]
    return where + [text for text in arm if key_of(text) not in SWEEP_KEYS]


def unsweepable(factors: Iterable[str]) -> Iterator[str]:
    """Yield the reasons why some of these keys cannot be swept."""
    for key in factors:
        if key in SWEEP_KEYS:
            yield f"{key}: cannot be swept; it says how the whole sweep is run"
        elif not is_scientific(key) and key != "dataset.path":
            yield f"{key}: cannot be swept; its values would give the same cell"


def composed_arms(arms: Sequence[Arm], factors: Container[str], composer: Composer) -> dict[Arm, Composed]:
    """Return the configuration of each arm.

    Raises:
        ConfigError: with every mistake in any arm, naming the arm.
    """
    found: dict[Arm, Composed] = {}
    problems: dict[str, list[str]] = {}
    with planning(len(arms)) as arm_over:
        for arm in arms:
            try:
                found[arm] = composer.composed(arm)
            except ConfigError as error:
                for problem in error.problems:
                    problems.setdefault(problem, []).append(" ".join(_varied(arm, factors)))
            arm_over()
    if problems:
        raise ConfigError([_with_arms(problem, names, len(arms)) for problem, names in problems.items()])
    first = next(iter(found.values())).config
    torn = [key for key in OF_THE_SWEEP if any(getattr(c.config, key) != getattr(first, key) for c in found.values())]
    if torn:
        raise ConfigError([f"{key}: is not the same in all cells, but belongs to the whole sweep" for key in torn])
    return found


def refuse_unwritable(config: Config) -> None:
    """Refuse an `outputs_dir` that cannot be written to.

    Raises:
        ConfigError: if the folder cannot be written to, unless this is a dry run.
    """
    if not config.dry_run and (problem := folder_problem("outputs_dir", config.outputs_dir)):
        raise ConfigError([problem])


def _varied(arm: Sequence[str], factors: Container[str]) -> list[str]:
    """Return the overrides of an arm that differ between arms."""
    return [text for text in arm if key_of(text) in factors]


def _with_arms(problem: str, arms: Sequence[str], num_arms: int) -> str:
    if len(arms) == num_arms:
        return problem
    more = f" and {len(arms) - 3} more" if len(arms) > 3 else ""
    return f"{problem}\n(in {'; '.join(arms[:3])}{more})"


Source = tuple[Part, Path]


def source_of(config: Config) -> Source:
    """Return the data set without its split settings, and its folder."""
    return config.dataset.model_copy(update=UNSPLIT), config.data_dir


def prepared_data(configs: Sequence[Config]) -> dict[Source, str]:
    """Put the files of every data set in place before any cell starts, and return the fingerprint of each data set."""
    fingerprints = {}
    for dataset, data_dir in dict.fromkeys(map(source_of, configs)):
        source: Dataset = dataset.build(data_dir)
        try:
            source.prepare()
            fingerprints[dataset, data_dir] = source.fingerprint
        except DataError as error:
            raise ConfigError([str(error)]) from None
    return fingerprints
