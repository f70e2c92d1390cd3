"""Searches whose cells learn nothing: a curve of the test's own choosing says what each epoch measures.

Everything else is real: the plan, the study, the folders, and what a trial's own process does with them.
"""

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from image_sweeps.cell.cell import Cell
from image_sweeps.cell.result import Result
from image_sweeps.cell.saved_plan import SavedPlan
from image_sweeps.cell.search_record import SearchRecord
from image_sweeps.cell.status import CellStatus
from image_sweeps.config.composition import hydra_at
from image_sweeps.fit.epoch import Epoch
from image_sweeps.search.plan import plan_search
from image_sweeps.search.run import Search
from image_sweeps.search.trial import trial_pruner
from image_sweeps.sweep.run import Sweep
from image_sweeps.system.interrupt import Interrupt
from image_sweeps.tracking.journal import Journal

Curve = Callable[[Cell, int], float]

TINY = ("dataset.image_size=8", "model=mlp", "epochs=8")
LR = "optimizer.lr=tag(log,interval(1e-4,1))"
OPTUNA = "hydra/sweeper=optuna"


class Died(BaseException):
    """Whatever ends a process without another word."""


def planned(*overrides):
    """The plan of a search."""
    return plan_search([OPTUNA, *TINY, *overrides])


def near_a_tenth(cell: Cell, epoch: int) -> float:
    """The best learning rate is 0.1, and all cells rise for as long as they learn."""
    lr = cell.config.optimizer.arguments()["lr"]
    return 0.9 - 0.2 * abs(math.log10(lr) + 1) + 0.01 * epoch


def learn(folder: Path, curve: Curve, before_telling: Callable[[Cell], object] = lambda cell: None) -> None:
    """What the process of a cell does."""
    cell = Cell.load(folder)
    pruner = trial_pruner(folder, print)
    epochs, status = [], CellStatus.FINISHED
    for number in range(1, cell.config.epochs + 1):
        accuracy = curve(cell, number)
        epochs.append(Epoch(number, 1.0, accuracy, 0.0, 1 - accuracy, accuracy, 0.1, 0.5, number))
        pruner.report(epochs)
        if number < cell.config.epochs and pruner.should_prune():
            status = CellStatus.PRUNED
            break
    best = max(epochs, key=lambda epoch: epoch.val_accuracy)
    result = Result(
        cell.id,
        cell.name,
        status,
        best_epoch=best.number,
        val_loss=best.val_loss,
        val_accuracy=best.val_accuracy,
        num_parameters=round(1000 * cell.config.optimizer.arguments()["lr"]),
        seconds=sum(epoch.epoch_s for epoch in epochs),
        num_epochs=len(epochs),
    )
    result.save(folder)
    before_telling(cell)
    pruner.tell(result)


class OneSlot:
    """A launcher with one slot, in this process."""

    def __init__(self, work: Callable[[Path], object]):
        self.work = work
        self.handed = []

    def run_cells(self, folders: Iterable[Path], num_cells: int):
        for folder in folders:
            self.handed.append(folder.name)
            self.work(folder)

    def launch(self, jobs):
        for job in jobs:
            values = dict(text.split("=", 1) for text in job)
            folder = Path(values["hydra.sweep.dir"].strip("'"), values["hydra.sweep.subdir"].strip("'"))
            self.handed.append(folder.name)
            self.work(folder)


class Process:
    """One process after the other, each beginning with nothing but what the last one left in the folder."""

    def __init__(self, folder: Path, *overrides: str):
        self.folder, self.overrides = folder, overrides

    def search(self, *more: str) -> Search:
        """A search that goes on with what is there. Needs `compose.hydra_at`."""
        plan = planned(*self.overrides, *more)
        frozen = SavedPlan.of((plan.default,), plan.factors, self.folder.name, "command")
        self.folder.mkdir(parents=True, exist_ok=True)
        if (self.folder / "plan.json").exists():
            frozen = SavedPlan.load(self.folder).resumed_as(frozen)
        return Search(plan, frozen, Sweep([], self.folder, Journal(self.folder), None))

    def run(self, *more: str, curve: Curve = near_a_tenth, work: Callable[[Path], object] | None = None):
        """Run the search to its end, or until a cell takes the process with it. Returns record and launcher."""
        launcher = OneSlot(work or (lambda folder: learn(folder, curve)))
        with hydra_at(), suppress(Died):
            self.search(*more).run(launcher, Interrupt())
        return self.record, launcher

    @property
    def record(self) -> SearchRecord:
        return SearchRecord.load(self.folder)

    def search_cells(self):
        """The cells that are written down."""
        return SavedPlan.load(self.folder).cells
