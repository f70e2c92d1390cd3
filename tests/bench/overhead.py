"""Whole sweeps, as a user starts them: new processes, an empty outputs folder, everything recorded and reported."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        wall_s: from its start to its end.
        train_s: of training and validation, by the cells' own clocks.
        num_cells: the cells that it ran.
    """

    wall_s: float
    train_s: float
    num_cells: int


def sweep(*overrides: str) -> Cost:
    """`python -m src.train -m ...` in a fresh outputs folder."""
    with tempfile.TemporaryDirectory() as folder:
        wall_s = _timed([sys.executable, "-m", "src.train", "-m", f"outputs_dir={folder}", *overrides])
        results = [json.loads(path.read_text()) for path in Path(folder).glob("sweeps/*/*/result.json")]
    return Cost(wall_s, sum(result["seconds"] for result in results), len(results))


def notebooks(data_dir: Path) -> float:
    """Wall seconds of study 2 the notebook's way: one network after the other."""
    command = [sys.executable, "-m", "tests.bench.notebook", "--data", str(data_dir)]
    return _timed(command) + _timed([*command, "--batch-norm"])


def _timed(command: Sequence[str]) -> float:
    """Wall seconds of a command."""
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started
