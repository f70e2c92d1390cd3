"""`nox -s bench`: prints how fast training is, and what everything around it costs.

Timings are noisy, so that the loops take turns and ratios are taken round by round.
"""

import argparse
import os
import platform
import statistics
from pathlib import Path

import joblib
import torch
from rich.console import Console
from rich.table import Table

from tests.bench.loops import three_ways
from tests.bench.overhead import notebooks, sweep

CONSOLE = Console(width=110)


def main() -> None:
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("DATA_DIR", "data")), help="holds FashionMNIST/"
    )
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each loop, after one that is not counted")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    CONSOLE.print(
        f"torch {torch.__version__}, python {platform.python_version()}, {os.cpu_count()} cores, "
        f"{arguments.threads} threads"
    )
    if (arguments.data / "FashionMNIST").is_dir():
        training(arguments.data, arguments.rounds)
        whole_sweeps(arguments.data, arguments.rounds)
    else:
        CONSOLE.print(f"no {arguments.data / 'FashionMNIST'}: the loops are not timed; set DATA_DIR, or give --data")
    overhead(arguments.rounds)


def training(data_dir: Path, num_rounds: int) -> None:
    """Seconds of an epoch with validation, three ways, in turns."""
    loops = three_ways(data_dir)
    for epoch in loops.values():
        epoch()
    rounds = [{name: epoch() for name, epoch in loops.items()} for _ in range(num_rounds)]
    table = Table(title=f"model=cnn_batch on Fashion-MNIST 16x16: one epoch with validation, {num_rounds} rounds")
    table.add_column("loop")
    table.add_column("seconds: median (min to max)", justify="right")
    table.add_column("this project is faster by: median (min to max)", justify="right")
    for name in loops:
        seconds = [r[name] for r in rounds]
        table.add_row(name, _spread(seconds, "s"), _spread([r[name] / r["this project"] for r in rounds], "x"))
    CONSOLE.print(table)


def whole_sweeps(data_dir: Path, num_rounds: int) -> None:
    """Study 2, two networks for 5 epochs, from the command to the report, against two notebooks one after the other."""
    fashion = ("dataset=fashion_mnist", f"data_dir='{data_dir.resolve()}'", "model=cnn,cnn_batch", "epochs=5")
    commands = {"this project": fashion, "this project, precision=bf16": (*fashion, "precision=bf16")}
    rounds = []
    for _ in range(num_rounds):
        notebook_s = notebooks(data_dir)
        rounds.append({name: (notebook_s, sweep(*overrides).wall_s) for name, overrides in commands.items()})
    table = Table(title=f"model=cnn,cnn_batch on Fashion-MNIST 16x16, 5 epochs, whole commands, {num_rounds} rounds")
    table.add_column("what")
    table.add_column("seconds: median (min to max)", justify="right")
    table.add_column("faster than two notebooks by: median (min to max)", justify="right")
    table.add_row("two notebooks, one after the other", _spread([next(iter(r.values()))[0] for r in rounds], "s"), "")
    for name in commands:
        seconds, ratios = [r[name][1] for r in rounds], [r[name][0] / r[name][1] for r in rounds]
        table.add_row(name, _spread(seconds, "s"), _spread(ratios, "x"))
    CONSOLE.print(table)


def overhead(num_rounds: int) -> None:
    """Wall seconds around training for the default job, for each cell more, and of a sweep of a hundred cells."""
    base, more, hundred = [], [], []
    for _ in range(num_rounds):
        two = sweep("model=cnn,cnn_batch", "epochs=1")
        base.append(two.wall_s - two.train_s / min(2, joblib.cpu_count()))  # side by side
        many = sweep("epochs=1", "seed=range(100)")
        hundred.append(many.wall_s)
        slot_s = joblib.cpu_count() * (many.wall_s - two.wall_s) - (many.train_s - two.train_s)
        more.append(slot_s / (many.num_cells - two.num_cells))
    table = Table(title=f"around training: digits, one epoch, cold store, new process, {num_rounds} rounds")
    table.add_column("what")
    table.add_column("seconds: median (min to max)", justify="right")
    table.add_row("python -m src.train -m model=cnn,cnn_batch, less its training", _spread(base, "s"))
    table.add_row("a further cell, of one core, less its training", _spread(more, "s"))
    table.add_row("python -m src.train -m seed=range(100)", _spread(hundred, "s"))
    CONSOLE.print(table)


def _spread(values: list[float], unit: str) -> str:
    return f"{statistics.median(values):.2f} {unit} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
