"""A sweep's own run in MLflow, the parent that its cells are nested under, and what other sweeps have left there."""

from collections.abc import Iterator, Sequence

from mlflow.entities import Run

from src.config import Tracking
from src.sweep.claim import Claim
from src.sweep.frozen import FrozenPlan
from src.sweep.result import Result
from src.tracking.environment import origin
from src.tracking.journal import Journal
from src.tracking.store import Store

PAGE = 1000  # runs a query


def begin(claim: Claim, plan: FrozenPlan, tracking: Tracking) -> Journal:
    """Open the sweep's run; a sweep that is resumed keeps its own.

    Arms may have been added since, and MLflow changes no parameter: the description and the report have them.
    """
    journal = Journal(claim.folder, claim.check)
    tags = {"kind": "sweep", "sweep": plan.sweep, **origin()}
    name = f"sweep of {' x '.join(plan.factors) or 'one cell'}"
    journal.begin(name, tags, tracking, nested=False)
    journal.params({key: ", ".join(values) for key, values in plan.factors.items()})
    return journal


def finished(store: Store, cells: Sequence[str]) -> dict[str, Run]:
    """The latest finished run of each of these cells, in any sweep or none."""
    wanted, found = set(cells), dict[str, Run]()
    for run in _runs(store, "tags.kind = 'cell' and attributes.status = 'FINISHED'"):
        if (cell := run.data.tags["cell"]) in wanted:
            found.setdefault(cell, run)
    return found


def result_of(run: Run, name: str) -> Result:
    """The outcome of a cell that was finished elsewhere, under its name here."""
    metrics = run.data.metrics
    return Result(
        cell=run.data.tags["cell"],
        name=name,
        status="finished",
        run_id=run.info.run_id,
        best_epoch=int(metrics["best/epoch"]),
        val_loss=metrics["best/val_loss"],
        val_accuracy=metrics["best/val_accuracy"],
        test_accuracy=metrics["test/accuracy"],
        test_accuracy_low=metrics["test/accuracy_low"],
        test_accuracy_high=metrics["test/accuracy_high"],
        num_parameters=int(run.data.params["num_parameters"]),
        seconds=(run.info.end_time - run.info.start_time) / 1000,
    )


def _runs(store: Store, condition: str) -> Iterator[Run]:
    """All runs that meet the condition, the latest first."""
    token = None
    while True:
        page = store.client.search_runs([store.experiment_id], condition, max_results=PAGE, page_token=token)
        yield from page
        if not (token := page.token):
            return
