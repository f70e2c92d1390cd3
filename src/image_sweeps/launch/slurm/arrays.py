"""The job arrays of a sweep, which map cells to tasks. Each is saved in the sweep's folder before it is submitted.

The name of an array consists of the sweep's id and the number that is its file name. Another process can therefore find
the jobs in the queue, wherever the process that submitted them died.
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
        number: the number of the array in the sweep, from 1.
        cells: the ids of its cells, in the order of their task indices.
    """

    sweep: Path
    number: int
    cells: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the array in SLURM's queue. It is unique, because the id of a sweep is."""
        return f"{self.sweep.name}.{self.number}"

    @property
    def output(self) -> str:
        """The log file of SLURM's output for a task, as a pattern for `sbatch`. The cell's output is in its folder."""
        return str(self.sweep / SweepFile.SLURM / f"{self.number}_%a.log")

    def log(self, index: int) -> Path:
        """Return the log file of SLURM's output for one task."""
        return Path(self.output.replace("%a", str(index)))

    def save(self) -> None:
        write_text(self.sweep / SweepFile.SLURM / f"{self.number}.json", json.dumps(self.cells))

    @classmethod
    def of(cls, sweep: Path, cells: Sequence[str]) -> Self:
        """Return a new array of the sweep, with the next number."""
        return cls(sweep, max((array.number for array in arrays(sweep)), default=0) + 1, tuple(cells))


def arrays(sweep: Path) -> list[Array]:
    """Return the arrays of a sweep, in the order of their numbers."""
    paths = sorted((sweep / SweepFile.SLURM).glob("*.json"), key=lambda path: int(path.stem))
    return [Array(sweep, int(path.stem), tuple(json.loads(path.read_text()))) for path in paths]
