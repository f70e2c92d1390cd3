"""The check of the command line before Hydra acts on it, so that a mistake costs nothing and is fully reported."""

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hydra.core.override_parser.types import Override, Sweep
from hydra.types import RunMode

from image_sweeps.config.composition import hydra_at
from image_sweeps.config.hydra_internals import get_args_parser
from image_sweeps.config.hydra_part import flag_problems, problems_by_override, run_folder
from image_sweeps.config.overrides import SEARCHPATH, parse
from image_sweeps.config.problems import ConfigError, refuse, refuse_all
from image_sweeps.config.schema import SWEEP_KEYS
from image_sweeps.config.trust import untrusted
from image_sweeps.system.credentials import hide_credentials
from image_sweeps.system.files import folder_problem
from image_sweeps.system.home import CONF, PACKAGE
from image_sweeps.system.torchrun import TorchrunEnv

if TYPE_CHECKING:
    from image_sweeps.sweep.plan import Plan

QUOTED_NOTHING = "''"

SEARCH = "hydra/sweeper=optuna"

P = TypeVar("P")


def checked_arguments(arguments: Sequence[str]) -> list[str]:
    """Return `arguments` in the form for Hydra. If they are wrong, report the problems and end the process.

    A single cell is composed and checked here, before Hydra makes its folder. A sweep is left to the sweeper, which
    composes every arm itself: its overrides are wrapped as sweeps over one value. Otherwise Hydra would first apply
    them to the default choices, and refuse `-m optimizer=adam,adamw optimizer.eps=1e-6`, because sgd has no eps.
    """
    hide_credentials()
    args = get_args_parser().parse_intermixed_args(list(arguments))  # Hydra refuses overrides on both sides of a flag
    overrides: list[str] = args.overrides
    flags = list(arguments)
    for override in overrides:
        flags.remove(override)
    config_dir = CONF if args.config_path is None else PACKAGE.parent / args.config_path
    extra_dir = None if args.config_dir is None else Path(args.config_dir)
    try:
        refuse_all(flag_problems(args))
        if args.shell_completion:
            return flags + overrides
        refuse_all([_missing_folder("--config-path", config_dir), _missing_folder("--config-dir", extra_dir)])
        with hydra_at(config_dir, extra_dir):
            placed = [] if args.config_path is None else ["--config-path", str(config_dir)]  # the last one counts
            return flags + placed + _checked(args, overrides, parse(overrides))
    except ConfigError as error:
        refuse(error)


def asks_only() -> bool:
    """Return whether the command line only requests information, and trains nothing."""
    asked, _ = get_args_parser().parse_known_args()
    return bool(asked.help or asked.hydra_help or asked.cfg or asked.info or asked.shell_completion)


def _checked(args: Namespace, overrides: list[str], parsed: Sequence[Override]) -> list[str]:
    """Return the overrides in the form for Hydra."""
    config_name = "config" if args.config_name is None else args.config_name
    if args.help or args.hydra_help or args.cfg or args.info:
        refuse_all(list(problems_by_override(overrides, config_name, RunMode.RUN).values()) if overrides else [])
        return overrides
    refuse_all([_unquoted(override) for override in parsed])
    sweeps = args.multirun or "hydra.mode=MULTIRUN" in overrides
    refuse_all([_started_by_torchrun() if sweeps else None])
    mode = RunMode.MULTIRUN if sweeps else RunMode.RUN
    refuse_all([(_misplaced if sweeps else _unswept)(override) for override in parsed])
    hydras = [str(override.input_line) for override in parsed if _is_hydras(override, sweeps=sweeps)]
    named = args.config_name is not None
    if named or args.config_path or args.config_dir or any(SEARCHPATH in text for text in overrides):
        refuse_all(untrusted(config_name, hydras if sweeps else overrides, mode))
    wrong = problems_by_override(hydras, config_name, mode) if hydras or named else {}
    if sweeps and not wrong:
        return [_deferred(override) for override in parsed]
    if sweeps and SEARCH in overrides:
        from image_sweeps.search.plan import plan_search

        _planned(plan_search, overrides, wrong, config_name)  # raises, because something is wrong
    from image_sweeps.sweep.plan import plan

    refuse_all([_unasked(_planned(plan, overrides, wrong, config_name))])
    refuse_all([_unwritable(hydras, config_name)])
    return overrides


def _is_hydras(override: Override, *, sweeps: bool) -> bool:
    """Return whether Hydra applies the override to its own configuration or, in a sweep, deletes a key (`~key`)."""
    return not override.is_sweep_override() and (override.is_hydra_override() or (sweeps and override.is_delete()))


def _planned(
    plan: Callable[[list[str], str], P], overrides: Sequence[str], wrong: Mapping[str, str], config_name: str
) -> P:
    """Return the plan, or raise ConfigError with the problems in `wrong` and those of the other overrides."""
    if "" in wrong:
        raise ConfigError([wrong[""]])
    try:
        planned = plan([text for text in overrides if text not in wrong], config_name)
    except ConfigError as error:
        raise ConfigError([*wrong.values(), *error.problems]) from None
    refuse_all(list(wrong.values()))
    return planned


def _unwritable(hydras: Sequence[str], config_name: str) -> str | None:
    """Return why the folder that the user wants for a single cell cannot be made, or None."""
    if not any(text.lstrip("+").startswith("hydra.run") for text in hydras):
        return None
    return folder_problem("hydra.run.dir", run_folder(hydras, config_name))


def _missing_folder(flag: str, folder: Path | None) -> str | None:
    with suppress(OSError):  # the name is too long for a folder
        if folder is None or folder.is_dir():
            return None
    return f"{flag} {folder}: there is no such folder"


def _unswept(override: Override) -> str | None:
    """Return why an override cannot be used on the command line of a single cell, or None."""
    if override.is_sweep_override():
        return f"{override.input_line}: several values need a sweep; add -m, or write a list as key=[1,2]"
    if override.key_or_group in SWEEP_KEYS:
        return f"{override.input_line}: belongs to a sweep; add -m"
    return None


def _unasked(planned: "Plan") -> str | None:
    """Return why a configuration that declares a sweep cannot run as a single cell, or None if it declares none."""
    if planned.factors:
        factors = ", ".join(planned.factors)
        one_cell = "hydra.sweeper.params=null hydra.sweeper.blocks=null"
        return f"this configuration sweeps over {factors}; add -m to run it, or {one_cell} for one cell"
    return None


def _misplaced(override: Override) -> str | None:
    """Return why an override cannot be used on the command line of a sweep, or None."""
    if override.key_or_group in ("hydra.sweep.dir", "hydra.sweep.subdir"):
        return f"{override.input_line}: a sweep keeps its cells by id under outputs_dir; set outputs_dir=... instead"
    if override.is_hydra_override() and override.is_sweep_override():
        return f"{override.input_line}: Hydra's own keys are the same for the whole sweep"
    return None


def _started_by_torchrun() -> str | None:
    """Return why a sweep cannot run in the processes of torchrun, or None without torchrun."""
    if (started := TorchrunEnv.load()) is None:
        return None
    return (
        f"--multirun: WORLD_SIZE = {started.size} in the environment says that so many processes were started to train "
        f"one cell; a sweep starts those of its cells itself, with devices={started.size} and without torchrun"
    )


def _unquoted(override: Override) -> str | None:
    """Return why a grid given as `hydra.sweeper.params` or `hydra.sweeper.blocks` cannot be read, or None."""
    if override.is_hydra_override() and not override.is_sweep_override() and _holds_sweep(override.value()):
        return f"{override.input_line}: what sweeps in it has to be in quotes, as in {{seed: 'range(3)'}}"
    return None


def _holds_sweep(value: object) -> bool:
    if isinstance(value, list | dict):
        return any(_holds_sweep(part) for part in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, Sweep)


def _deferred(override: Override) -> str:
    """Return the override as a sweep, which Hydra leaves to the sweeper, if only some configurations know its key."""
    plain = "${" not in str(override.input_line)  # Hydra would resolve the interpolation before it is checked
    known_to_all = override.is_hydra_override() or (override.key_or_group in SWEEP_KEYS and plain)
    if known_to_all or override.is_sweep_override() or override.is_delete():
        return str(override.input_line)
    if override.value() is None:
        return f"{override.get_key_element()}=null,null"  # Hydra's grammar has no choice(null); the plan takes it once
    return f"{override.get_key_element()}=choice({override.get_value_element_as_str() or QUOTED_NOTHING})"
