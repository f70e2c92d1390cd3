"""A cell: one configuration, trained once. Its id depends on what is trained, not on the spelling or the machine."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from image_sweeps.cell.folders import CellFile
from image_sweeps.config.composition import Composed
from image_sweeps.config.overrides import OWNED_BY_HYDRA
from image_sweeps.config.schema import Config, is_scientific
from image_sweeps.system.files import write_text


@dataclass(frozen=True)
class SweepContext:
    """The sweep of a cell, and the place of the cell in it.

    Attributes:
        id: the id of the sweep.
        position: the position of the cell among the `num_cells` cells of the sweep, from 1.
    """

    id: str
    position: int
    num_cells: int


@dataclass(frozen=True)
class Cell:
    """A planned cell.

    Attributes:
        id: 12 hexadecimal digits, a digest of what can change the result: the scientific part of the configuration and
            the content of the data set.
        name: the varied overrides, for example `model=cnn_batch seed=1`.
        levels: the level of each factor of the sweep, for example `{"model": "cnn_batch", "seed": "1"}`.
        overrides: the overrides of the command line that makes the cell.
        choices: the choice of each group, for example `{"model": "cnn_batch"}`.
        fingerprint: the fingerprint of the data set's content.
        raw: the resolved configuration as plain containers.
        config: the checked configuration.
        sweep: the sweep that the cell is planned in, if any.
    """

    id: str
    name: str
    levels: dict[str, str]
    overrides: tuple[str, ...]
    choices: dict[str, str]
    fingerprint: str
    raw: dict[str, Any]
    config: Config
    sweep: SweepContext | None = None

    @classmethod
    def of(cls, composed: Composed, overrides: Sequence[str], fingerprint: str, varied: Sequence[str] = ()) -> Self:
        """Return the cell of a composed configuration, on the data with this fingerprint.

        The cell is named by the `varied` overrides; without these by all scientific overrides, or else by its network.
        """
        ours = [text for text in overrides if not text.startswith(OWNED_BY_HYDRA)]
        science = [text for text in ours if is_scientific(text.lstrip("+~").split("=")[0])]
        name = " ".join(varied or science) or f"model={composed.choices['model']}"
        levels = dict(text.split("=", 1) for text in varied)
        cell_id = identity(composed.config, fingerprint)
        return cls(
            cell_id, name, levels, tuple(overrides), composed.choices, fingerprint, composed.raw, composed.config
        )

    def save(self, folder: Path) -> None:
        """Write the cell into `folder`, so that later edits of `conf/` cannot change it."""
        plan = {key: value for key, value in vars(self).items() if key != "config"}
        plan["sweep"] = asdict(self.sweep) if self.sweep else None
        write_text(folder / CellFile.CELL, json.dumps(plan, indent=2))

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Return the cell that was saved in `folder`, or None if there is none."""
        if not (folder / CellFile.CELL).exists():
            return None
        plan = json.loads((folder / CellFile.CELL).read_text())
        plan["overrides"] = tuple(plan["overrides"])
        plan["config"] = Config.checked(plan["raw"])
        plan["sweep"] = SweepContext(**plan["sweep"]) if plan["sweep"] else None
        return cls(**plan)


def identity(config: Config, fingerprint: str) -> str:
    """Return the digest of what can change a result, which is equal for every spelling of the same cell."""
    science = {**config.scientific(), "dataset_fingerprint": fingerprint}
    weights = science["model"].get("weights")
    if weights is not None and Path(weights).is_file():  # the content counts, not the name
        science["model"]["weights"] = hashlib.sha256(Path(weights).read_bytes()).hexdigest()
    return hashlib.sha256(json.dumps(science, sort_keys=True).encode()).hexdigest()[:12]
