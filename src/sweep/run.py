"""A planned sweep, run: every cell is frozen into its folder and handed to a launcher, and the results summed up."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString

from src import terminal
from src.compose import unique_id
from src.sweep.cell import Cell, SweepContext
from src.sweep.plan import Plan
from src.sweep.result import Result

Launch = Callable[[Sequence[Sequence[str]]], object]
"""What runs the jobs, each given as its list of overrides, and comes back when all of them are over."""


def run_sweep(plan: Plan, launch: Launch) -> bool:
    """Run the cells of `plan`. Returns whether all of them finished; whatever failed has been shown."""
    from src.tracking.store import open_store
    from src.tracking.sweep import log_summary, open_sweep
    from src.tracking.view import show_runs

    config = plan.cells[0].config  # the store is the same for all: it cannot be swept
    sweep_id = unique_id()
    folder = config.outputs_dir.resolve() / "sweeps" / sweep_id
    terminal.show_plan(sweep_id, plan)
    store = open_store(config)
    with open_sweep(store, sweep_id, plan) as parent_run_id:
        jobs = []
        for position, cell in enumerate(plan.cells, start=1):
            context = SweepContext(sweep_id, parent_run_id, position, len(plan.cells))
            replace(cell, sweep=context).freeze(folder / cell.id)
            jobs.append([*cell.overrides, *folder_overrides(folder, cell.id)])
        launch(jobs)
        results = [Result.of(folder / cell.id) or _vanished(cell) for cell in plan.cells]
        log_summary(store, parent_run_id, results)
    terminal.show_results(results)
    show_runs(config, sweep_id)
    return all(result.finished for result in results)


def _vanished(cell: Cell) -> Result:
    return Result(cell.id, cell.name, reason="the job ended without leaving a result")


def folder_overrides(folder: Path, cell_id: str) -> list[str]:
    """What tells Hydra where a cell's job lives. Unquoted, an id such as 1020079e5857 would be read as a number."""
    return [f"hydra.sweep.dir={_quoted(str(folder))}", f"hydra.sweep.subdir={_quoted(cell_id)}"]


def _quoted(text: str) -> str:
    """A string of Hydra's override grammar."""
    return str(QuotedString(text, Quote.single).with_quotes())
