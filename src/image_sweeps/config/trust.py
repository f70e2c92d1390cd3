"""Limits for configuration files from elsewhere in Hydra's own part, which can run code and write files.

The files in `conf/` belong to the project, and overrides belong to the user. All other files may be read, but must
not name code to run, or a place outside of `outputs_dir` to write to.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from image_sweeps.config.composition_cache import failure
from image_sweeps.config.overrides import loader

CODE = ("hydra_plugins.", "hydra._internal.core_plugins.", "hydra.experimental.callbacks.")
"""The packages of the launchers, sweepers and callbacks that Hydra may create."""

LOGGING = ("logging.", "colorlog.", "rich.logging.")
"""The packages of the handlers and formatters that `logging` may create."""

STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
PLACES = ("run.dir", "sweep.dir", "sweep.subdir", "output_subdir")
"""The keys that say where Hydra writes to."""

LOGS = ("job_logging", "hydra_logging")
STEERING = ("LD_", "DYLD_", "PYTHON", "PATH")
"""Prefixes of environment variables that make a process run other code."""

MAY_NAME = "a file from elsewhere may name nothing but"


def untrusted(config_name: str, overrides: Sequence[str], mode: RunMode) -> list[str]:
    """Return the problems of Hydra's part of a configuration that files from elsewhere contribute to.

    Nothing in that part is executed. Needs `composition.hydra_at`, and overrides none of which is a sweep.

    Args:
        config_name: the name of the primary configuration file.
        overrides: the overrides that the user typed; a key in `PLACES` that is typed here may have any value.
        mode: whether a sweep is run.
    """
    try:
        hydra, outputs_dir = _resolved(config_name, overrides, mode)
    except Exception as error:  # whatever Hydra would show with a traceback
        return [failure(error)]
    typed = {text.lstrip("+~").partition("=")[0] for text in overrides}
    return [
        *_code(hydra, "hydra"),
        *(problem for log in LOGS for problem in _logging(hydra.get(log), f"hydra.{log}", outputs_dir)),
        *(problem for key in PLACES if f"hydra.{key}" not in typed for problem in _place(hydra, key, outputs_dir)),
        *_environment(hydra),
    ]


def _resolved(config_name: str, overrides: Sequence[str], mode: RunMode) -> tuple[Any, Path]:
    """Return Hydra's part as plain containers, and `outputs_dir`."""
    cfg = loader().load_configuration(config_name, list(overrides), run_mode=mode)
    outputs_dir = Path(str(cfg.outputs_dir))
    with open_dict(cfg):
        cfg.hydra.job.num, cfg.hydra.job.id = 0, "0"
        cfg.hydra.runtime.output_dir = str(outputs_dir / "job")  # Hydra fills these in
    content: Any = OmegaConf.to_container(cfg, resolve=True)
    return content["hydra"], outputs_dir


def _code(value: Any, key: str) -> Iterator[str]:
    """Yield the problems of `_target_` keys, at every level."""
    for name, inner in _items(value):
        path = f"{key}.{name}"
        if name == "_target_" and not str(inner).startswith(CODE):
            yield f"{path} = {inner!r}: {MAY_NAME} {', '.join(start + '*' for start in CODE)}"
        yield from _code(inner, path)


def _logging(value: Any, key: str, outputs_dir: Path) -> Iterator[str]:
    """Yield the problems of names that `logging.config.dictConfig` would call, import or open."""
    for name, inner in _items(value):
        path = f"{key}.{name}"
        if name in ("()", "class") and not str(inner).startswith(LOGGING):
            yield f"{path} = {inner!r}: {MAY_NAME} {', '.join(start + '*' for start in LOGGING)}"
        elif name == "filename":
            yield from _outside(path, inner, outputs_dir)
        elif isinstance(inner, str) and inner.startswith(("ext://", "cfg://")) and inner not in STREAMS:
            yield f"{path} = {inner!r}: {MAY_NAME} {', '.join(STREAMS)}"
        yield from _logging(inner, path, outputs_dir)


def _place(hydra: Mapping[str, Any], key: str, outputs_dir: Path) -> Iterator[str]:
    """Yield the problem of a folder that Hydra makes; all keys but `dir` are relative to the folder of the job."""
    value: Any = hydra
    for step in key.split("."):
        value = value[step]
    if value is not None:
        yield from _outside(f"hydra.{key}", value if key.endswith(".dir") else outputs_dir / "job" / value, outputs_dir)


def _outside(key: str, path: str | Path, outputs_dir: Path) -> Iterator[str]:
    if not Path(path).resolve().is_relative_to(outputs_dir.resolve()):
        yield f"{key} = {str(path)!r}: a file from elsewhere may have nothing written outside of outputs_dir"


def _environment(hydra: Mapping[str, Any]) -> Iterator[str]:
    for name in hydra["job"]["env_set"]:
        if name.startswith(STEERING):
            yield f"hydra.job.env_set.{name}: a file from elsewhere may not set what makes a process run other code"


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((str(name), inner) for name, inner in value.items())
    elif isinstance(value, list | tuple):
        yield from ((str(position), inner) for position, inner in enumerate(value))
