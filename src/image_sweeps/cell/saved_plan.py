"""The saved plan of a sweep: its cells, its command, and the code, packages and data that they depend on.

A sweep is resumed from its plan, and the report reads it. `plan.json` in the folder of the sweep holds the plan.
"""

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from image_sweeps.cell.folders import SweepFile
from image_sweeps.config.problems import ConfigError, listed
from image_sweeps.system.files import write_text
from image_sweeps.system.git import git_state
from image_sweeps.system.home import PACKAGE

if TYPE_CHECKING:  # a report needs no torch
    from image_sweeps.cell.cell import Cell

PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "pillow")
"""The packages that a result depends on."""


@dataclass(frozen=True)
class SavedCell:
    """The part of a cell that the plan keeps. The attributes are the same as in `Cell`."""

    id: str
    name: str
    levels: dict[str, str]
    overrides: list[str]
    choices: dict[str, str]
    fingerprint: str
    raw: dict[str, Any]


@dataclass(frozen=True)
class SavedPlan:
    """The plan of a sweep.

    Attributes:
        sweep: the id of the sweep.
        command: the command line of the sweep.
        created: the time of the first plan of the sweep, in ISO 8601.
        versions: the versions of Python and of the packages that a result depends on, and the git commit.
        sources: a digest of every Python file of the package, by its path.
        data: the fingerprint of every data set, by its settings as JSON.
        factors: the factors with their levels.
        cells: the cells of this plan and of the plans that it resumed.
    """

    sweep: str
    command: str
    created: str
    versions: dict[str, str]
    sources: dict[str, str]
    data: dict[str, str]
    factors: dict[str, list[str]]
    cells: list[SavedCell]

    @classmethod
    def of(cls, cells: "Sequence[Cell]", factors: Mapping[str, Sequence[str]], sweep: str, command: str) -> Self:
        """Return the plan of these cells, with the present state of the code, packages and data."""
        return cls(
            sweep=sweep,
            command=command,
            created=datetime.now().astimezone().isoformat(timespec="seconds"),
            versions={"python": platform.python_version(), **{p: version(p) for p in PACKAGES}, **git_state()},
            sources=_digests(),
            data={_data_settings(cell): cell.fingerprint for cell in cells},
            factors={key: [text.removeprefix(f"{key}=") for text in texts] for key, texts in factors.items()},
            cells=[saved_cell(cell) for cell in cells],
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the plan of the sweep in `folder`.

        Raises:
            ConfigError: if there is no plan.
        """
        try:
            content = json.loads((folder / SweepFile.PLAN).read_text())
        except FileNotFoundError:
            raise ConfigError([f"{folder}: there is no sweep ({SweepFile.PLAN} is missing)"]) from None
        return cls(**{**content, "cells": [SavedCell(**cell) for cell in content["cells"]]})

    def save(self, folder: Path) -> None:
        write_text(folder / SweepFile.PLAN, json.dumps(self, default=vars))

    def resumed_as(self, now: Self) -> Self:
        """Return the plan `now` with the time of this plan, and with those cells of this plan that `now` lacks."""
        asked = {cell.id for cell in now.cells}
        kept = [cell for cell in self.cells if cell.id not in asked]
        factors = {
            key: list(dict.fromkeys([*now.factors.get(key, []), *(self.factors.get(key, []) if kept else [])]))
            for key in dict.fromkeys([*now.factors, *(self.factors if kept else [])])
        }
        data = {**self.data, **now.data}
        return type(self)(
            now.sweep, now.command, self.created, now.versions, now.sources, data, factors, [*now.cells, *kept]
        )

    def changes(self, now: "SavedPlan") -> list[str]:
        """Return the changes of data, code and versions between this plan and `now`, in words."""
        return [*_changed_data(self.data, now.data), *_changed_code(self, now), *_changed_versions(self, now)]


def sweeps_dir(outputs_dir: Path) -> Path:
    """Return the folder that the sweeps are kept in."""
    return outputs_dir.resolve() / "sweeps"


def sweeps_in(outputs_dir: Path) -> list[str]:
    """Return the ids of the sweeps that are kept under `outputs_dir`, the latest one last."""
    return sorted(path.parent.name for path in sweeps_dir(outputs_dir).glob(f"*/{SweepFile.PLAN}"))


def find(outputs_dir: Path, name: str) -> str:
    """Return the id of the sweep called `name`, which is an id, or `last` for the latest sweep.

    Raises:
        ConfigError: if there is no such sweep.
    """
    known = sweeps_in(outputs_dir)
    if name == "last" and known:
        return known[-1]
    if name not in known:
        there = f"the latest are {', '.join(known[:-4:-1])}" if known else "there are none"
        raise ConfigError([f"resume = {name!r}: there is no such sweep in {sweeps_dir(outputs_dir)}; {there}"])
    return name


def saved_cell(cell: "Cell") -> SavedCell:
    """Return the part of `cell` that the plan keeps."""
    return SavedCell(**{name: _kept(cell, name) for name in SavedCell.__annotations__})


def _kept(cell: "Cell", name: str) -> Any:
    value = getattr(cell, name)
    return list(value) if isinstance(value, tuple) else value


def _data_settings(cell: "Cell") -> str:
    return json.dumps({**cell.raw["dataset"], "data_dir": str(cell.config.data_dir)}, sort_keys=True)


def _digests() -> dict[str, str]:
    """Return the digests of the code, without configurations: a cell is resolved, so that they are part of its id."""
    return {
        str(path.relative_to(PACKAGE.parent)): hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def _changed_data(before: dict[str, str], now: dict[str, str]) -> Iterator[str]:
    for settings in before.keys() & now.keys():
        if before[settings] != now[settings]:
            dataset = json.loads(settings)
            where = dataset.get("path") or dataset["data_dir"]
            yield f"the data set in {where}: its content is {now[settings]}, and was {before[settings]}"


def _changed_code(before: SavedPlan, now: SavedPlan) -> Iterator[str]:
    paths = sorted(before.sources.keys() | now.sources.keys())
    changed = [path for path in paths if before.sources.get(path) != now.sources.get(path)]
    if changed:
        yield f"the code: {listed(changed)}"


def _changed_versions(before: SavedPlan, now: SavedPlan) -> Iterator[str]:
    for name in ("python", *PACKAGES):
        if before.versions[name] != now.versions[name]:
            yield f"{name}: is {now.versions[name]}, and was {before.versions[name]}"
