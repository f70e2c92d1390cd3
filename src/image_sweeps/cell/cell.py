"""A cell: one configuration, trained once. Its identity says what was asked, not how it was spelled or where it ran."""

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
    """What a cell knows of its sweep.

    Attributes:
        id: the sweep's.
        position: the cell's place among the cells, from 1.
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
        name: what varies in it, as in `model=cnn_batch seed=1`.
        levels: the same as a mapping, `{"model": "cnn_batch", "seed": "1"}`: its value of each factor of the sweep.
        overrides: the command line that makes it.
        choices: of the groups, as in `{"model": "cnn_batch"}`.
        fingerprint: of the data set's content.
        raw: the resolved configuration as plain containers.
        config: the same, checked.
        sweep: the sweep that it is planned in, if any.
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
        """The cell of a composed configuration, on the data with this fingerprint.

        It is named by what is `varied`; where that is nothing, by all that was overridden, or else by its network.
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
        """Write the cell down, so that editing `conf/` later cannot change it."""
        plan = {key: value for key, value in vars(self).items() if key != "config"}
        plan["sweep"] = asdict(self.sweep) if self.sweep else None
        write_text(folder / CellFile.CELL, json.dumps(plan, indent=2))

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """The cell that was saved in `folder`, or None where none was."""
        if not (folder / CellFile.CELL).exists():
            return None
        plan = json.loads((folder / CellFile.CELL).read_text())
        plan["overrides"] = tuple(plan["overrides"])
        plan["config"] = Config.checked(plan["raw"])
        plan["sweep"] = SweepContext(**plan["sweep"]) if plan["sweep"] else None
        return cls(**plan)


def identity(config: Config, fingerprint: str) -> str:
    """The digest of what can change a result; equal for every spelling of the same cell."""
    science = {**config.scientific(), "dataset_fingerprint": fingerprint}
    weights = science["model"].get("weights")
    if weights is not None and Path(weights).is_file():  # the content counts, not the name
        science["model"]["weights"] = hashlib.sha256(Path(weights).read_bytes()).hexdigest()
    return hashlib.sha256(json.dumps(science, sort_keys=True).encode()).hexdigest()[:12]
