"""Hydra's own part of a command line, tried before Hydra acts on it.

Hydra meets most mistakes there with exit code 1, and many with a traceback; some only after it has made folders.
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
"""Those that run cells from their folders."""

SWEEPERS = ("grid", "optuna")
"""Those that save cells into their folders."""

COMPLETION = re.compile(r"(install|uninstall|query)=(bash|fish|zsh)")


def flag_problems(flags: Namespace) -> list[str]:
    """What is wrong with Hydra's flags, taken together."""
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
    """What Hydra would stop at when it composes and resolves its own part, by the override that is to blame.

    That is the first one that is wrong after the sound ones before it; none, "", where the file is wrong by itself.
    Needs `compose.hydra_at`.

    Args:
        overrides: those of Hydra's own keys, and others that it applies by itself.
        config_name: of the primary file.
        mode: whether it runs a sweep.
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
    """The folder that Hydra makes for a single cell. Needs `compose.hydra_at`, and overrides without a problem."""
    return Path(str(loader().load_configuration(config_name, list(overrides), run_mode=RunMode.RUN).hydra.run.dir))


def _no_such_choice(text: str) -> str | None:
    """What is wrong with an override that chooses a file of Hydra's, where there is no such file."""
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
    """Do with Hydra's part what Hydra is going to do with it, as far as that leaves no traces."""
    with open_dict(cfg):
        cfg.hydra.hydra_help.hydra_help = ""  # Hydra leaves it open
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
    """Let `logging` take what is configured, and give it back."""
    for logs in (cfg.hydra.hydra_logging, cfg.hydra.job_logging):
        configure_log(logs, cfg.hydra.verbose)
    root = logging.getLogger()
    for handler in tuple(root.handlers):
        root.removeHandler(handler)
        handler.close()
