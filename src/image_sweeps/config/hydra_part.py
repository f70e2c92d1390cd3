"""Checks of Hydra's own part of a command line, made before Hydra acts on it.

Hydra itself ends with exit code 1 on most mistakes there, often with a traceback, and sometimes after making folders.
"""

import logging
import re
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import configure_log
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf, open_dict

from image_sweeps.config.composition_cache import failure
from image_sweeps.config.overrides import SEARCHPATH, ParsedOverride, loader

LAUNCHERS = ("pool", "slurm", "ray")
"""The launchers that run cells from their folders."""

SWEEPERS = ("grid", "optuna")
"""The sweepers that save cells into their folders."""

COMPLETION = re.compile(r"(install|uninstall|query)=(bash|fish|zsh)")


def flag_problems(flags: Namespace) -> list[str]:
    """Return the problems of Hydra's flags and of their combination."""
    problems = []
    if flags.experimental_rerun is not None:
        problems.append(
            "--experimental-rerun: is not supported, since it runs what a file holds; the command of each cell is in "
            "its sweep's report. If a recipe was meant: experiment=..., without hyphens"
        )
    if flags.resolve and not (flags.cfg or flags.help):
        problems.append("--resolve: goes with --cfg or --help")
    asked = {
        "--run": flags.run,
        "--multirun": flags.multirun,
        "--cfg": flags.cfg,
        "--shell-completion": flags.shell_completion,
        "--info": flags.info,
    }
    if len(given := [flag for flag, value in asked.items() if value]) > 1:
        problems.append(f"{', '.join(given)}: give one of them")
    if flags.shell_completion and not (len(flags.overrides) == 1 and COMPLETION.fullmatch(flags.overrides[0])):
        problems.append("--shell-completion: takes install=bash, uninstall=bash or query=bash; or fish, or zsh")
    return problems


def problems_by_override(overrides: Sequence[str], config_name: str, mode: RunMode) -> dict[str, str]:
    """Return the errors that Hydra would raise for its own part, by the override that causes each of them.

    An override causes an error if it fails together with the valid overrides before it. If the file is wrong without
    any override, the only key is "". Needs `composition.hydra_at`.

    Args:
        overrides: the overrides of Hydra's own keys, and others that Hydra applies itself.
        config_name: the name of the primary configuration file.
        mode: whether Hydra runs a sweep.
    """
    if _problem(overrides, config_name, mode) is None:
        return {}
    if problem := _problem([], config_name, mode):
        return {"": problem}
    sound: list[str] = []
    wrong = {}
    for text in overrides:
        if problem := _no_such_choice(text) or _problem([*sound, text], config_name, mode):
            wrong[text] = problem if problem.startswith(text) else f"{text}: {problem}"
        else:
            sound.append(text)
    return wrong


def run_folder(overrides: Sequence[str], config_name: str) -> Path:
    """Return the folder that Hydra makes for a single cell. Needs `composition.hydra_at` and valid overrides."""
    return Path(str(loader().load_configuration(config_name, list(overrides), run_mode=RunMode.RUN).hydra.run.dir))


def _no_such_choice(text: str) -> str | None:
    """Return the problem of an override that chooses a file of Hydra's that does not exist, else None."""
    return None if text.lstrip("+").startswith(SEARCHPATH) else ParsedOverride.parse(text).problem


def _problem(overrides: Sequence[str], config_name: str, mode: RunMode) -> str | None:
    try:
        cfg = loader().load_configuration(config_name, list(overrides), run_mode=mode)
        with TemporaryDirectory() as folder:
            _act(cfg, mode, folder)
            if any("logging" in text or "verbose" in text for text in overrides):
                _configure_logging(cfg)
    except Exception as error:  # whatever is raised here Hydra would show with its traceback
        return failure(error)
    finally:
        HydraConfig.instance().cfg = None
    return None


def _act(cfg: DictConfig, mode: RunMode, folder: str) -> None:
    """Do with Hydra's part what Hydra will do with it, except for steps that leave traces."""
    with open_dict(cfg):
        cfg.hydra.hydra_help.hydra_help = ""  # missing in Hydra's defaults
        cfg.hydra.job.num, cfg.hydra.job.id, cfg.hydra.runtime.output_dir = 0, "0", folder  # a launcher fills them in
    HydraConfig.instance().set_config(cfg)
    OmegaConf.to_container(cfg.hydra, resolve=True, throw_on_missing=True)
    for name, callback in (cfg.hydra.callbacks or {}).items():
        if not callable(get_object(callback._target_)):
            raise HydraException(f"hydra.callbacks.{name}._target_ = {callback._target_!r}: cannot be called")
    if mode == RunMode.MULTIRUN:
        for kind in ("sweeper", "launcher"):
            if cfg.hydra[kind] is None:
                raise HydraException(f"hydra.{kind} = None: a sweep needs one; hydra/{kind}=... chooses it")
            Plugins.instance()._instantiate(cfg.hydra[kind])
        choices = cfg.hydra.runtime.choices
        launcher = choices["hydra/launcher"]
        if launcher in LAUNCHERS and choices["hydra/sweeper"] not in SWEEPERS:
            raise HydraException(
                f"hydra/launcher = {launcher!r}: runs the cells that hydra/sweeper=grid or optuna has planned; "
                "hydra/launcher=basic runs those of other sweepers"
            )


def _configure_logging(cfg: DictConfig) -> None:
    """Apply the logging configuration, then remove and close the handlers of the root logger."""
    for logs in (cfg.hydra.hydra_logging, cfg.hydra.job_logging):
        configure_log(logs, cfg.hydra.verbose)
    root = logging.getLogger()
    for handler in tuple(root.handlers):
        root.removeHandler(handler)
        handler.close()
