"""`python -m tests.bench.search`: what a search finds for its epochs, against random search and against not pruning.

Three searches of the same space, with the same budget of epochs for all trials together, several times with other
seeds: TPE with successive halving, TPE without pruning, random without pruning. A search ends with the trial that uses
its budget up; the other two are given as many epochs as the first one took, and round up to whole trials. The winner of
each is trained anew with five fresh seeds, and judged by their mean on the test split, paired by the repeat.

Fashion-MNIST, a sixth of the training images, 16x16: 9,000 to train, 6,000 to validate, 10,000 to test.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from rich.console import Console
from rich.table import Table

from image_sweeps.report.statistics import Estimate, estimate
from tests.support.configurations import ROOT

CONSOLE = Console(width=160)

SPACE = (
    "optimizer.lr=tag(log,interval(1e-5,10))",
    "optimizer.momentum=interval(0,0.99)",
    "optimizer.weight_decay=tag(log,interval(1e-6,0.1))",
    "batch_size=int(tag(log,interval(32,512)))",
    "label_smoothing=interval(0,0.5)",
    "model=mlp,cnn",
    "norm=none,batch",
    "activation=relu,tanh,silu,elu",
)
"""As who knows nothing of the data would say it. Where most of a space is good, a few random trials suffice."""
TPE = ("hydra/sweeper/sampler=tpe", "hydra.sweeper.sampler.n_startup_trials=5")
OURS = "TPE, pruning"
WAYS = {
    OURS: (*TPE, "hydra/sweeper/pruner=halving"),
    "TPE": (*TPE, "hydra/sweeper/pruner=none"),
    "random search": ("hydra/sweeper/sampler=random", "hydra/sweeper/pruner=none"),
}


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes:
        val_accuracy: of its best trial, which is the best by luck too.
        test_accuracy: of the same configuration, trained anew with fresh seeds, their mean.
        num_trials: that it tried.
        num_epochs: that these trained.
    """

    val_accuracy: float
    test_accuracy: float
    num_trials: int
    num_epochs: int


def search(way: tuple[str, ...], seed: int, data: tuple[str, ...], num_epochs: int, max_epochs: int) -> Found:
    """One search, in a process of its own, on one slot: so that a repeat repeats."""
    with tempfile.TemporaryDirectory() as outputs:
        command = [
            *(sys.executable, "-m", "src.train", "-m", "hydra/sweeper=optuna", *way, *SPACE, *data),
            *(f"epochs={num_epochs}", f"seed={1000 * seed}", "hydra.sweeper.n_trials=null", "tracking.offline=true"),
            *(f"hydra.sweeper.max_epochs={max_epochs}", f"hydra.sweeper.sampler.seed={seed}"),
            *("hydra.sweeper.confirm_seeds=5", "hydra.launcher.slots=1", f"outputs_dir={outputs}"),
        ]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise RuntimeError(ran.stderr)
        (report,) = Path(outputs).glob("sweeps/*/report.json")
        found = json.loads(report.read_text())
    (best,) = found["search"]["best"]
    trial = found["search"]["trials"][best]
    label = f"trial {best}"
    (confirmed,) = [c for c in found["configurations"] if c["levels"]["configuration"] == label]
    searched = found["search"]
    return Found(
        trial["values"][0], confirmed["test_accuracy"]["mean"], len(searched["trials"]), searched["num_epochs"]
    )


def three_searches(seed: int, data: tuple[str, ...], num_epochs: int, max_epochs: int) -> dict[str, Found]:
    """One repeat."""
    found: dict[str, Found] = {}
    for way, overrides in WAYS.items():
        budget = max_epochs if way == OURS else max(max_epochs, found[OURS].num_epochs)
        found[way] = search(overrides, seed, data, num_epochs, budget)
        CONSOLE.print(f"repeat {seed}, {way}: {found[way]}")
    return found


def mean(values: list[float]) -> Estimate:
    """Over the repeats, with its 95% t interval."""
    found = estimate(np.array([values]))
    assert found is not None
    return found


def difference(ours: list[Found], theirs: list[Found], measure: str) -> Estimate:
    """Of an accuracy, repeat by repeat."""
    return mean([getattr(a, measure) - getattr(b, measure) for a, b in zip(ours, theirs, strict=True)])


def show(found: dict[str, list[Found]]) -> None:
    """A table of the ways."""
    table = Table(title=f"{len(next(iter(found.values())))} repeats")
    better = f"{OURS} is better by"
    for heading in ("way", "trials", "epochs", "best validation", better, "test, trained anew", better):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    for way, repeats in found.items():
        row = [
            f"{np.mean([one.num_trials for one in repeats]):.1f}",
            f"{np.mean([one.num_epochs for one in repeats]):.1f}",
        ]
        for measure in ("val_accuracy", "test_accuracy"):
            row.append(_spread(mean([getattr(one, measure) for one in repeats]), "{:.2%}"))
            row.append("" if way == OURS else _spread(difference(found[OURS], repeats, measure), "{:+.2%}"))
        table.add_row(way, *row)
    CONSOLE.print(table)


def _spread(shown: Estimate, form: str) -> str:
    ends = "" if shown.low is None else f" ({form.format(shown.low)} to {form.format(shown.high)})"
    return form.format(shown.mean) + ends


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.search", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("DATA_DIR", "data")))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=9, help="of a trial, at most")
    parser.add_argument("--budget", type=int, default=120, help="epochs of all trials of a search together")
    parser.add_argument("--jobs", type=int, default=joblib.cpu_count(), help="repeats at a time, of one core each")
    parser.add_argument("--dataset", default="fashion_mnist")
    arguments = parser.parse_args()
    data = (f"dataset={arguments.dataset}", f"data_dir='{arguments.data.resolve()}'", f"dataset.train_fraction={1 / 6}")
    with ThreadPoolExecutor(arguments.jobs) as jobs:
        repeats = list(
            jobs.map(
                lambda seed: three_searches(seed, data, arguments.epochs, arguments.budget), range(arguments.repeats)
            )
        )
    show({way: [repeat[way] for repeat in repeats] for way in WAYS})


if __name__ == "__main__":
    main()
