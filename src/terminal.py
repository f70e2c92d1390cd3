"""What the terminal shows: the choices first, a line an epoch, the results last. In a log or a pipe, no epochs."""

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:  # keeps torch away from --help
    from src.dataset import Dataset, Splits
    from src.fit.epoch import Epoch
    from src.sweep.cell import Cell
    from src.sweep.plan import Plan
    from src.sweep.result import Result

TRAINING_KEYS = (
    *("epochs", "batch_size", "seed", "precision"),
    *("label_smoothing", "clip_grad_norm", "l2", "regularize_all"),
)

CONSOLE = Console(highlight=False)
if not CONSOLE.is_terminal:
    CONSOLE.width = 160  # a log has no edge to wrap at
ERRORS = Console(stderr=True, highlight=False, soft_wrap=True)


def show_error(text: str) -> None:
    """A message that stands by itself, on standard error."""
    ERRORS.print(text, markup=False)


def show_plan(sweep_id: str, plan: "Plan") -> None:
    """What a sweep varies and what all its cells share, before the first of them."""
    count = f"{len(plan.cells)} cell{'s'[: len(plan.cells) != 1]}"
    CONSOLE.print(f"[bold]sweep {sweep_id}[/]  {count}")
    for key, values in plan.factors.items():
        CONSOLE.print(f"  {key} = {escape(', '.join(value.removeprefix(key + '=') for value in values))}")
    if plan.num_duplicates:
        CONSOLE.print(f"  {plan.num_duplicates} more are the same as one of these, and are not run again")
    CONSOLE.print("what they share")
    _show_choices(plan.cells)


def show_cell(cell: "Cell", source: "Dataset", splits: "Splits", device: object) -> None:
    """A cell before its first step. The choices of a sweep's cells were shown with its plan."""
    if cell.sweep:
        CONSOLE.print(
            f"\n[bold]\\[{cell.sweep.position}/{cell.sweep.num_cells}] {escape(cell.name)}[/]  [dim]cell {cell.id}[/]"
        )
    else:
        CONSOLE.print(f"[bold]{escape(cell.name)}[/]  [dim]cell {cell.id}[/]")
        _show_choices([cell])
    counts = f"{len(splits.train):,} to train, {len(splits.val):,} to validate, {len(splits.test):,} to test"
    shape = "x".join(map(str, source.shape))
    _row("images", f"{counts}; {shape}, {len(source.class_names)} classes; on {device}")


def _show_choices(cells: "Sequence[Cell]") -> None:
    """The choices and settings that `cells` have in common; what differs between them is passed over."""
    first = cells[0]
    for group, choice in first.choices.items():
        part = getattr(first.config, group)
        if all((c.choices[group], getattr(c.config, group)) == (choice, part) for c in cells):
            settings = [f"{key}={_short(value)}" for key, value in part.arguments().items()]
            _row(group, "  ".join([choice, *settings]))
    run_level = {key: getattr(first.config, key) for key in TRAINING_KEYS}
    common = {k: v for k, v in run_level.items() if all(getattr(c.config, k) == v for c in cells)}
    _row("training", "  ".join(f"{key}={_short(value)}" for key, value in common.items() if value is not None))


def _row(heading: str, text: str) -> None:
    CONSOLE.print(f"  [dim]{heading:<12}[/] {escape(text)}", soft_wrap=True)


def show_failure(cell: "Cell", error: Exception, *, with_traceback: bool) -> None:
    """Why a cell failed, at once; the traceback only where the error is not of a kind that explains itself."""
    text = "".join(traceback.format_exception(error)) if with_traceback else f"{type(error).__name__}: {error}"
    show_error(f"{cell.name} failed. {text}")


class EpochLines:
    """The progress of one cell: a bar while it runs, and a line for each epoch that stays."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.progress = progress
        self.task = task

    def show(self, epoch: "Epoch", num_epochs: int) -> None:
        self.progress.advance(self.task)
        if epoch.number == 1:
            self.progress.console.print(
                "[dim]    epoch   train loss   accuracy   val loss   accuracy         lr   seconds[/]"
            )
        self.progress.console.print(
            f"  {f'{epoch.number}/{num_epochs}':>7}"
            f"   {epoch.train_loss:>10.4f}   {epoch.train_accuracy:>8.2%}"
            f"   {epoch.val_loss:>8.4f}   {epoch.val_accuracy:>8.2%}"
            f"   {epoch.lr:>8.3g}   {epoch.epoch_s:>7.1f}"
        )


class NoLines:
    """Epochs are in the log and in MLflow; where nobody looks they are not printed."""

    def show(self, epoch: "Epoch", num_epochs: int) -> None:
        pass


@contextmanager
def epoch_lines(num_epochs: int) -> Iterator[EpochLines | NoLines]:
    """A place for the epochs of one cell."""
    if not CONSOLE.is_terminal:
        yield NoLines()
        return
    columns = (TextColumn("  training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=CONSOLE, transient=True) as progress:
        yield EpochLines(progress, progress.add_task("epochs", total=num_epochs))


def show_results(results: Sequence["Result"]) -> None:
    """One row a cell; the one that validation prefers is marked."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("cell", overflow="fold")
    for heading in ("val acc", "test acc (95% interval)", "epoch", "params", "s"):
        table.add_column(heading, justify="right", no_wrap=True)
    finished = [result for result in results if result.finished]
    winner = max(finished, key=lambda r: (r.val_accuracy, -r.val_loss), default=None) if len(results) > 1 else None
    for result in results:
        if not result.finished:
            table.add_row(escape(result.name), "[red]failed[/]")
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
    if winner:
        CONSOLE.print(
            "* highest validation accuracy. The intervals say what other test images would change, not other seeds."
        )


def show_view(command: str | None, link: str) -> None:
    """How to look at the runs; no command where a server is running already."""
    CONSOLE.print("\nTo compare the runs in MLflow, " + ("start its server and " if command else "") + "open the link:")
    if command:
        CONSOLE.print(f"  {command}", soft_wrap=True, markup=False)
    CONSOLE.print(f"  {link}", soft_wrap=True, markup=False)


def _short(value: object) -> str:
    """A setting as one would type it."""
    if isinstance(value, tuple):
        return f"[{','.join(map(_short, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
