"""The records of cells for a report, read from the folder of a sweep and from the store."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from image_sweeps.cell.result import Result
from image_sweeps.cell.saved_plan import SavedPlan
from image_sweeps.cell.search_record import CONFIGURATION, SearchRecord
from image_sweeps.cell.status import CellStatus
from image_sweeps.config.schema import SEED
from image_sweeps.report.cell_records import record_of_planned_cell, record_of_run
from image_sweeps.report.design import SPLITS, in_order, varying
from image_sweeps.report.record import ReportError, Subject
from image_sweeps.report.search import cells_to_compare, trials_of
from image_sweeps.tracking.journal import Journal
from image_sweeps.tracking.recorded_runs import FilterError, RecordedRun, find_runs
from image_sweeps.tracking.store import Store, StoreError

IDS = 200  # run ids per query


def of_sweep(store: Store | None, folder: Path) -> tuple[Subject, dict[str, Journal]]:
    """Return all cells of the sweep in `folder`, whatever their status, and the journals of their runs by run id.

    Runs of this sweep are read from their journals: a store takes ten times as long, and may not have all records yet.
    Only runs of other sweeps are read from the store.

    Args:
        store: the store, or None if it is not available.
        folder: the folder of the sweep.
    """
    plan = SavedPlan.load(folder)
    results = {cell.id: Result.load(folder / cell.id) for cell in plan.cells}
    journals = {cell.id: Journal(folder / cell.id) for cell in plan.cells}
    begun = {cell: run for cell, journal in journals.items() if (run := RecordedRun.load(journal))}
    here = {begun[cell].id: journals[cell] for cell in begun}
    if store:
        known = {cell: str(result.run_id) for cell, result in results.items() if result and result.run_id}
        elsewhere = [run_id for cell, run_id in known.items() if cell not in begun]
        begun |= {run.tags["cell"]: run for run in _by_id(store, elsewhere)}
    every = [record_of_planned_cell(cell, plan.factors, results[cell.id], begun.get(cell.id)) for cell in plan.cells]
    search = SearchRecord.load(folder)
    cells = cells_to_compare(every, search) if search else every
    said = dict.fromkeys(plan.factors, ()) if search else plan.factors
    return (
        Subject(
            title=_title(plan.factors),
            sweep=plan.sweep,
            experiment=plan.cells[0].raw["tracking"]["experiment"],
            filter=None,
            command=plan.command,
            created=plan.created,
            factors={
                key: list(dict.fromkeys([*values, *(cell.levels[key] for cell in cells)]))
                for key, values in said.items()
            },
            cells=cells,
            search=search,
            trials=trials_of(every, search) if search else (),
        ),
        here,
    )


def of_experiment(store: Store, condition: str | None) -> Subject:
    """Return the cells whose runs match MLflow's filter `condition`.

    If a cell was run more than once, its latest finished run counts, or its latest run if none has finished.

    Raises:
        ReportError: if the filter is invalid or matches no run, or if the store does not answer.
    """
    wanted = "tags.kind = 'cell'" + (f" and {condition}" if condition else "")
    try:
        found = list(find_runs(store, wanted))
    except FilterError as error:
        raise ReportError(f"filter = {condition!r}: {error}") from None
    except StoreError as error:
        raise ReportError(str(error)) from None
    experiment = store.client.get_experiment(store.experiment_id).name
    if not found:
        raise ReportError(f"filter = {condition!r}: no cell of experiment {experiment} is let through by it")
    latest: dict[str, RecordedRun] = {}
    for run in sorted(found, key=lambda run: run.status is not CellStatus.FINISHED):  # stable: the latest stays first
        latest.setdefault(run.tags["cell"], run)
    runs = sorted(latest.values(), key=lambda run: run.start_ms)
    columns = varying([run.params for run in runs], [run.digest for run in runs])
    cells = [record_of_run(run, {key: column[row] for key, column in columns.items()}) for row, run in enumerate(runs)]
    factors = {key: in_order(column) for key, column in columns.items()}
    return Subject(_title(factors), None, experiment, condition, None, None, factors, cells)


def _title(factors: Iterable[str]) -> str:
    """Return a title that names the settings that are compared."""
    varied = list(factors)
    settings = [key for key in varied if key not in (CONFIGURATION, SEED, *SPLITS)]
    return " \N{MULTIPLICATION SIGN} ".join(settings or varied) or "one cell"


def _by_id(store: Store, run_ids: Sequence[str]) -> Iterator[RecordedRun]:
    """Yield the runs with these ids that the store has, in any experiment."""
    if not run_ids:
        return
    experiments = [experiment.experiment_id for experiment in store.client.search_experiments()]
    for start in range(0, len(run_ids), IDS):
        ids = ", ".join(f"'{run_id}'" for run_id in run_ids[start : start + IDS])
        yield from find_runs(store, f"attributes.run_id IN ({ids})", experiments)
