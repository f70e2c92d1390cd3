"""A sweep's run in MLflow, the parent that its cells are nested under, and what is known there of the cells."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mlflow.entities import Param, Run

from src.sweep.frozen import FrozenPlan
from src.sweep.result import Result
from src.tracking.environment import git_state
from src.tracking.store import MAX_PARAM_LENGTH, REASON, Store

PAGE = 1000  # runs a query


def begin(store: Store, plan: FrozenPlan) -> str:
    """Open the sweep's run, and return its id; a sweep that is resumed keeps its own."""
    varied = " x ".join(plan.factors) or "one cell"
    run = next(_runs(store, f"tags.kind = 'sweep' and tags.sweep = '{plan.sweep}'"), None)
    if run is None:
        tags = {"kind": "sweep", "sweep": plan.sweep, **git_state()}
        run = store.client.create_run(store.experiment_id, run_name=f"sweep of {varied}", tags=tags)
    else:
        store.client.update_run(run.info.run_id, "RUNNING", f"sweep of {varied}")
    params = [Param(key, ", ".join(values)[:MAX_PARAM_LENGTH]) for key, values in plan.factors.items()]
    # arms may have been added since, and MLflow changes no parameter: the description and the report have them
    store.client.log_batch(run.info.run_id, params=[p for p in params if p.key not in run.data.params])
    return str(run.info.run_id)


def end(store: Store, run_id: str, status: str) -> None:
    """Close the sweep's run: FINISHED, FAILED where some cell did, or KILLED where it was interrupted."""
    store.client.set_terminated(run_id, status)


def begun(store: Store, sweep_id: str) -> dict[str, Run]:
    """The runs of a sweep's cells, by the cells' ids."""
    return {run.data.tags["cell"]: run for run in _runs(store, f"tags.kind = 'cell' and tags.sweep = '{sweep_id}'")}


def finished(store: Store, cells: Sequence[str]) -> dict[str, Run]:
    """The latest finished run of each of these cells, in any sweep or none."""
    wanted, found = set(cells), dict[str, Run]()
    for run in _runs(store, "tags.kind = 'cell' and attributes.status = 'FINISHED'"):
        if (cell := run.data.tags["cell"]) in wanted:
            found.setdefault(cell, run)
    return found


def close(store: Store, run: Run, status: str, reason: str) -> None:
    """End a run whose process is gone and did not."""
    store.client.set_tag(run.info.run_id, REASON, reason)
    store.client.set_terminated(run.info.run_id, status)


def _runs(store: Store, condition: str) -> Iterator[Run]:
    """All runs that meet the condition, the latest first."""
    token = None
    while True:
        page = store.client.search_runs([store.experiment_id], condition, max_results=PAGE, page_token=token)
        yield from page
        if not (token := page.token):
            return


def end_run(store: Store, sweep_id: str, cell_id: str, status: str, reason: str) -> str | None:
    """End the run of a cell whose process is gone, with the reason as a tag. Returns its id, or None if there is none.

    Args:
        store: where it is.
        sweep_id: of the sweep that the cell is in.
        cell_id: the cell's.
        status: FAILED or KILLED.
        reason: for the tag.
    """
    found = store.client.search_runs([store.experiment_id], f"tags.sweep = '{sweep_id}' and tags.cell = '{cell_id}'")
    for run in found:
        if run.info.status == "RUNNING":
            store.client.set_tag(run.info.run_id, REASON, reason[:5000])
            store.client.set_terminated(run.info.run_id, status)
    return str(found[0].info.run_id) if found else None


def log_file(store: Store, run_id: str, path: Path) -> None:
    """Keep a file with the run, under its own name."""
    store.client.log_artifact(run_id, str(path))


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
