"""Which cell is which task of which job array: written down in the sweep's folder before SLURM hears of an array.

The name of an array is that of its file. So what is in the queue is found again by a process that has not put it there,
and whatever that died of in between.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from image_sweeps.cell.folders import SweepFile
from image_sweeps.system.files import write_text


@dataclass(frozen=True)
class Array:
    """A job array of a sweep.

    Attributes:
        sweep: the folder of the sweep.
        number: the array's, from 1.
        cells: the ids of its cells, by their index.
    """

    sweep: Path
    number: int
    cells: tuple[str, ...]

    @property
    def name(self) -> str:
        """In SLURM's queue: no other array of anybody's has it, since a sweep's id is its own."""
        return f"{self.sweep.name}.{self.number}"

    @property
    def output(self) -> str:
        """Where what SLURM says of a task goes, as a pattern for `sbatch`. The cell's own output is in its folder."""
        return str(self.sweep / SweepFile.SLURM / f"{self.number}_%a.log")

    def log(self, index: int) -> Path:
        """The same of one task."""
        return Path(self.output.replace("%a", str(index)))

    def save(self) -> None:
        write_text(self.sweep / SweepFile.SLURM / f"{self.number}.json", json.dumps(self.cells))

    @classmethod
    def of(cls, sweep: Path, cells: Sequence[str]) -> Self:
        """One more array of the sweep."""
        return cls(sweep, max((array.number for array in arrays(sweep)), default=0) + 1, tuple(cells))


def arrays(sweep: Path) -> list[Array]:
    """Those of a sweep, in their order."""
    paths = sorted((sweep / SweepFile.SLURM).glob("*.json"), key=lambda path: int(path.stem))
    return [Array(sweep, int(path.stem), tuple(json.loads(path.read_text()))) for path in paths]
