"""A sweep written down: what was planned, by which command, with which code, packages and data.

It is what a sweep is resumed by, and what its report reads. `plan.json` in the sweep's folder holds it.
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

from image_sweeps.cell.environment import git_state
from image_sweeps.cell.folders import SweepFile
from image_sweeps.config.problems import ConfigError, listed
from image_sweeps.system.files import write_text
from image_sweeps.system.home import PACKAGE

if TYPE_CHECKING:  # a report needs no torch
    from image_sweeps.cell.cell import Cell

PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "pillow")
"""Those that a result depends on."""


@dataclass(frozen=True)
class SavedCell:
    """What the plan keeps of a cell. The attributes are those of `Cell`."""

    id: str
    name: str
    levels: dict[str, str]
    overrides: list[str]
    choices: dict[str, str]
    fingerprint: str
    raw: dict[str, Any]


@dataclass(frozen=True)
class SavedPlan:
    """A sweep as it was planned.

    Attributes:
        sweep: its id.
        command: the command line.
        created: when it was planned first, in ISO 8601.
        versions: of Python and the packages that a result depends on, and the git commit.
        sources: a digest of every file of the code, by its path.
        data: the fingerprint of every data set, by its settings as JSON.
        factors: what varies, with its values.
        cells: of this plan and of those that it resumed.
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
        """The plan, with the state of everything that it rests on."""
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
        """The plan of the sweep in `folder`.

        Raises:
            ConfigError: where there is none.
        """
        try:
            content = json.loads((folder / SweepFile.PLAN).read_text())
        except FileNotFoundError:
            raise ConfigError([f"{folder}: there is no sweep ({SweepFile.PLAN} is missing)"]) from None
        return cls(**{**content, "cells": [SavedCell(**cell) for cell in content["cells"]]})

    def save(self, folder: Path) -> None:
        write_text(folder / SweepFile.PLAN, json.dumps(self, default=vars))

    def resumed_as(self, now: Self) -> Self:
        """The sweep with the cells of `now`, which may be more; those that are not asked for any more stay known."""
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
        """What results depend on and is not the same any more, in words."""
        return [*_changed_data(self.data, now.data), *_changed_code(self, now), *_changed_versions(self, now)]


def folder_of(outputs_dir: Path) -> Path:
    """Where sweeps are kept."""
    return outputs_dir.resolve() / "sweeps"


def sweeps_in(outputs_dir: Path) -> list[str]:
    """The ids of the sweeps that are kept there, the one that was begun last at the end."""
    return sorted(path.parent.name for path in folder_of(outputs_dir).glob(f"*/{SweepFile.PLAN}"))


def find(outputs_dir: Path, name: str) -> str:
    """The id of the sweep called `name`: itself, or for `last` the one that was begun last.

    Raises:
        ConfigError: where there is no such sweep.
    """
    known = sweeps_in(outputs_dir)
    if name == "last" and known:
        return known[-1]
    if name not in known:
        there = f"the latest are {', '.join(known[:-4:-1])}" if known else "there are none"
        raise ConfigError([f"resume = {name!r}: there is no such sweep in {folder_of(outputs_dir)}; {there}"])
    return name


def saved_cell(cell: "Cell") -> SavedCell:
    """What the plan keeps of `cell`."""
    return SavedCell(**{name: _kept(cell, name) for name in SavedCell.__annotations__})


def _kept(cell: "Cell", name: str) -> Any:
    value = getattr(cell, name)
    return list(value) if isinstance(value, tuple) else value


def _data_settings(cell: "Cell") -> str:
    return json.dumps({**cell.raw["dataset"], "data_dir": str(cell.config.data_dir)}, sort_keys=True)


def _digests() -> dict[str, str]:
    """Of the files of the code. Configurations are left out: a cell is resolved, so that they are part of its id."""
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
