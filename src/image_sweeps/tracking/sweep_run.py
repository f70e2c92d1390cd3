"""The run of a sweep in MLflow, which is the parent of the runs of its cells, and the finished runs of other sweeps."""

from collections.abc import Sequence

from image_sweeps.cell.claim import Claim
from image_sweeps.cell.result import Result
from image_sweeps.cell.saved_plan import SavedPlan
from image_sweeps.cell.search_record import CONFIGURATION
from image_sweeps.cell.status import CellStatus
from image_sweeps.config.schema import Tracking
from image_sweeps.tracking.journal import Journal
from image_sweeps.tracking.origin import origin
from image_sweeps.tracking.recorded_runs import RecordedRun, find_runs
from image_sweeps.tracking.store import Store


def begin(claim: Claim, plan: SavedPlan, tracking: Tracking) -> Journal:
    """Open the run of the sweep; a resumed sweep keeps its run.

    MLflow changes no parameter, so that arms which were added later are in the description and the report only.
    """
    journal = Journal(claim.folder, claim.raise_if_superseded)
    tags = {"kind": "sweep", "sweep": plan.sweep, **origin()}
    varied = {key: ", ".join(values) for key, values in plan.factors.items() if values}
    kind = "search" if CONFIGURATION in plan.factors else "sweep"
    journal.begin(f"{kind} of {' x '.join(varied) or 'one cell'}", tags, tracking, nested=False)
    journal.params(varied)
    return journal


def finished(store: Store, cells: Sequence[str]) -> dict[str, RecordedRun]:
    """Return the latest finished run of each of these cells, in any sweep or as a single run, by cell id."""
    wanted, found = set(cells), dict[str, RecordedRun]()
    for run in find_runs(store, "tags.kind = 'cell' and attributes.status = 'FINISHED'"):
        if (cell := run.tags["cell"]) in wanted:
            found.setdefault(cell, run)
    return found


def result_from_run(run: RecordedRun, name: str) -> Result:
    """Return the result of a cell that finished elsewhere, with this `name`; `seconds` is the duration of the run."""
    metrics = run.metrics
    return Result(
        cell=run.tags["cell"],
        name=name,
        status=CellStatus.FINISHED,
        run_id=run.id,
        best_epoch=int(metrics["best/epoch"]),
        val_loss=metrics["best/val_loss"],
        val_accuracy=metrics["best/val_accuracy"],
        test_accuracy=metrics["test/accuracy"],
        test_accuracy_low=metrics["test/accuracy_low"],
        test_accuracy_high=metrics["test/accuracy_high"],
        num_parameters=int(run.params["num_parameters"]),
        seconds=((run.end_ms or run.start_ms) - run.start_ms) / 1000,
    )
