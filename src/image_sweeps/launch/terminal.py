"""The terminal output for cells that run in this process. In a log or a pipe, no epochs are shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from image_sweeps.cell.listener import CellListener
from image_sweeps.sweep.terminal import show_choices
from image_sweeps.system.console import CONSOLE, show_error, show_row

if TYPE_CHECKING:  # keeps torch away from --help
    import torch

    from image_sweeps.cell.cell import Cell
    from image_sweeps.dataset import Dataset, Splits
    from image_sweeps.fit.epoch import Epoch
    from image_sweeps.system.interrupt import Interrupt


def _show_cell(cell: "Cell", source: "Dataset", splits: "Splits", device: object) -> None:
    """Show a cell before its first step. The choices of a sweep's cells have been shown with its plan."""
    if cell.sweep:
        CONSOLE.print(
            f"\n[bold]\\[{cell.sweep.position}/{cell.sweep.num_cells}] {escape(cell.name)}[/]  [dim]cell {cell.id}[/]"
        )
    else:
        CONSOLE.print(f"[bold]{escape(cell.name)}[/]  [dim]cell {cell.id}[/]")
        show_choices([cell])
    counts = f"{len(splits.train):,} to train, {len(splits.val):,} to validate, {len(splits.test):,} to test"
    shape = "x".join(map(str, source.shape))
    show_row("images", f"{counts}; {shape}, {len(source.class_names)} classes; on {device}")


class CellProgress(CellListener):
    """A listener that shows a progress bar while a cell runs in this process, and prints a line for each epoch.

    In a log or a pipe, epochs are not printed: they are in the cell's log and in MLflow.
    """

    def __init__(self, bar: Progress, interrupt: "Interrupt") -> None:
        self.bar = bar
        self.interrupt = interrupt
        self.num_epochs = 0

    def on_data_ready(self, cell: "Cell", source: "Dataset", splits: "Splits", device: "torch.device") -> None:
        _show_cell(cell, source, splits, device)

    def on_train_start(self, cell: "Cell", num_done: int) -> None:
        if num_done:
            show_row("goes on", f"after epoch {num_done} of {cell.config.epochs}")
        self.num_epochs = cell.config.epochs
        self.task = self.bar.add_task("epochs", total=self.num_epochs, completed=num_done)
        if CONSOLE.is_terminal:
            self.bar.console.print(
                "[dim]    epoch   train loss   accuracy   val loss   accuracy         lr   seconds[/]"
            )

    def on_epoch_end(self, cell: "Cell", epoch: "Epoch") -> None:
        self.bar.advance(self.task)
        if CONSOLE.is_terminal:
            self.bar.console.print(
                f"  {f'{epoch.number}/{self.num_epochs}':>7}"
                f"   {epoch.train_loss:>10.4f}   {epoch.train_accuracy:>8.2%}"
                f"   {epoch.val_loss:>8.4f}   {epoch.val_accuracy:>8.2%}"
                f"   {epoch.lr:>8.3g}   {epoch.epoch_s:>7.1f}"
            )

    def on_failure(self, cell: "Cell", text: str) -> None:
        self.on_notice(f"{cell.name} failed. {text}")

    def on_notice(self, text: str) -> None:
        show_error(text)

    @property
    def stop_requested(self) -> bool:
        return self.interrupt.requested


@contextmanager
def cell_progress(interrupt: "Interrupt") -> Iterator[CellProgress]:
    """Yield a listener that shows the progress of cells in this process and stops them if `interrupt` is requested."""
    columns = (TextColumn("  training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=CONSOLE, transient=True, disable=not CONSOLE.is_terminal) as bar:
        yield CellProgress(bar, interrupt)
