"""Output about a sweep on the terminal: its plan and its results."""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from image_sweeps.cell.status import CellStatus
from image_sweeps.system.console import CONSOLE, show_row

if TYPE_CHECKING:  # keeps torch away from --help
    from image_sweeps.cell.cell import Cell
    from image_sweeps.cell.result import Result
    from image_sweeps.sweep.estimate import TimeEstimate
    from image_sweeps.sweep.plan import Plan


TRAINING_KEYS = (
    *("epochs", "batch_size", "seed", "precision"),
    *("label_smoothing", "clip_grad_norm", "l2", "regularize_all"),
)


MAX_LISTED = 20
"""The largest number of cells, and of values of a factor, that a dry run shows."""


MAX_ROWS = 24
"""The largest number of results that are all shown; of more, at most this many finished and unfinished ones each."""


def show_plan(sweep_id: str, plan: "Plan") -> None:
    """Show what a sweep varies and what all its cells share, before the first cell starts."""
    count = f"{len(plan.cells)} cell{'s'[: len(plan.cells) != 1]}"
    CONSOLE.print(f"[bold]sweep {sweep_id}[/]  {count}")
    for key, values in plan.factors.items():
        CONSOLE.print(f"  {key} = {escape(', '.join(value.removeprefix(key + '=') for value in values))}")
    if plan.num_duplicates:
        CONSOLE.print(f"  {plan.num_duplicates} more are the same as one of these, and are not run again")
    CONSOLE.print("what they share")
    show_choices(plan.cells)


def show_choices(cells: "Sequence[Cell]", without: Container[str] = ()) -> None:
    """Show the choices and settings that all `cells` have in common.

    Args:
        cells: the cells, at least one.
        without: keys that are left out because other cells differ in them.
    """
    first = cells[0]
    for group, choice in first.choices.items():
        part = getattr(first.config, group)
        if group not in without and all((c.choices[group], getattr(c.config, group)) == (choice, part) for c in cells):
            own = {key: value for key, value in part.arguments().items() if f"{group}.{key}" not in without}
            settings = [f"{key}={short(value)}" for key, value in own.items()]
            show_row(group, "  ".join([choice, *settings]))
    run_level = {key: getattr(first.config, key) for key in TRAINING_KEYS if key not in without}
    common = {k: v for k, v in run_level.items() if all(getattr(c.config, k) == v for c in cells)}
    show_row("training", "  ".join(f"{key}={short(value)}" for key, value in common.items() if value is not None))


def show_dry_run(plan: "Plan", steps: Mapping[str, str], estimate: "TimeEstimate") -> None:
    """Show what a sweep would do, and how long that may take.

    Args:
        plan: the plan of the sweep.
        steps: the next step of each cell, by the id of the cell.
        estimate: the estimated time of the cells that would be run.
    """
    counts = Counter(steps[cell.id] for cell in plan.cells)
    kinds = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    CONSOLE.print(f"[bold]dry run[/]  {len(plan.cells):,} cell{'s'[: len(plan.cells) != 1]}: {escape(kinds)}")
    for key, texts in plan.factors.items():
        values = [text.removeprefix(f"{key}=") for text in texts]
        CONSOLE.print(f"  {escape(key)} = {escape(', '.join(_cut(values)))}", soft_wrap=True)
    if plan.num_duplicates:
        CONSOLE.print(f"  {plan.num_duplicates:,} more are the same as one of these")
    CONSOLE.print("what they share")
    show_choices(plan.cells)
    table = Table("cell", "id", "", box=box.SIMPLE_HEAD, pad_edge=False)
    for cell in plan.cells[:MAX_LISTED]:
        table.add_row(escape(cell.name), cell.id, escape(steps[cell.id]))
    CONSOLE.print(table)
    if more := len(plan.cells[MAX_LISTED:]):
        CONSOLE.print(f"... and {more:,} more")
    CONSOLE.print(f"estimated time: {estimate}", soft_wrap=True, markup=False)


def _cut(values: Sequence[str]) -> list[str]:
    """Return the first `MAX_LISTED` values, and the number of the others if there are any."""
    more = len(values) - MAX_LISTED
    return [*values[:MAX_LISTED], *([f"and {more:,} more"] if more > 0 else [])]


def show_statuses(text: str, num_reused: int) -> None:
    """Show in one line the status of the cells before the sweep runs."""
    reused = f" ({num_reused} of them in other sweeps)" if num_reused else ""
    CONSOLE.print(text + reused)


def show_results(results: Sequence["Result"]) -> None:
    """Show one row per cell and mark the best by validation; of many cells, only the best and the unfinished ones."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("cell", overflow="fold")
    for heading in ("val acc", "test acc (95% interval)", "epoch", "params", "s"):
        table.add_column(heading, justify="right", no_wrap=True)
    finished = [result for result in results if result.finished]
    winner = max(finished, key=lambda r: (r.val_accuracy, -r.val_loss), default=None) if len(results) > 1 else None
    shown = results if len(results) <= MAX_ROWS else _best(results)
    for result in shown:
        if not result.finished:
            colour = "yellow" if result.status is CellStatus.PRUNED else "red"
            epoch = str(result.num_epochs) if result.status is CellStatus.PRUNED else ""
            table.add_row(escape(result.name), f"[{colour}]{result.status}[/]", "", epoch)
            continue
        low, high = result.test_accuracy_low, result.test_accuracy_high
        table.add_row(
            escape(result.name) + (" *" if result is winner else ""),
            f"{result.val_accuracy:.2%}",
            f"{result.test_accuracy:.2%} ({low:.1%} to {high:.1%})",
            str(result.best_epoch),
            f"{result.num_parameters:,}",
            f"{result.seconds:.1f}",
            style="bold" if result is winner else "",
        )
    CONSOLE.print()
    CONSOLE.print(table)
    if len(shown) < len(results):
        CONSOLE.print(f"These are the best by validation; all {len(results):,} are in the report.")
    if winner:
        CONSOLE.print(
            "* highest validation accuracy. The intervals say what other test images would change, not other seeds."
        )


def _best(results: Sequence["Result"]) -> list["Result"]:
    """Return the best cells by validation, and those that did not finish."""
    best = sorted((r for r in results if r.finished), key=lambda r: (-r.val_accuracy, r.val_loss))
    return best[:MAX_ROWS] + [r for r in results if not r.over][:MAX_ROWS]


def show_unfinished(num_missing: int, num_failed: int, sweep_id: str) -> None:
    """Show how many cells of a sweep are left, and how to resume it."""
    left = [f"{num_missing} not finished"] * bool(num_missing) + [f"{num_failed} failed"] * bool(num_failed)
    if left:
        CONSOLE.print(f"\n{', '.join(left)}: the same command with resume={sweep_id} goes on with them.")


def short(value: object) -> str:
    """Return a setting as one would type it."""
    if isinstance(value, tuple):
        return f"[{','.join(map(short, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
