"""The progress of cells that run at the same time: a live table on a terminal, or else a line for each ended cell."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from image_sweeps.cell.listener import CellListener
from image_sweeps.cell.status import CellStatus
from image_sweeps.system.console import CONSOLE, show_error

if TYPE_CHECKING:  # keeps torch away from --help
    from image_sweeps.cell.cell import Cell
    from image_sweeps.cell.result import Result
    from image_sweeps.fit.epoch import Epoch

BAR_WIDTH = 24
MIN_NAME_WIDTH = 12
PADDING = (0, 2)
HEADINGS = ("slot", "epoch", "val acc", "left")


class Lines(CellListener):
    """A listener for a log or a pipe that prints a line for each cell that has ended.

    Args:
        num_cells: the number of cells to run.
    """

    def __init__(self, num_cells: int) -> None:
        self.num_cells = num_cells
        self.num_over = 0
        self.num_failed = 0

    def on_failure(self, cell: "Cell", text: str) -> None:
        self.on_notice(f"{cell.name} failed. {text}")

    def on_cell_end(self, result: "Result") -> None:
        self.num_over += 1
        self.num_failed += result.status is CellStatus.FAILED
        outcome = (result.reason or "pruned") if result.status is CellStatus.PRUNED else str(result.status)
        if result.finished:
            outcome = f"val {result.val_accuracy:.2%}, test {result.test_accuracy:.2%}, {result.seconds:.1f} s"
        line = f"[{self.num_over}/{self.num_cells}] {result.name}: {outcome}"
        CONSOLE.print(line, markup=False, soft_wrap=True)

    def on_notice(self, text: str) -> None:
        show_error(text)


@dataclass
class Row:
    """The table row of a running cell. Times are in seconds on the monotonic clock.

    Attributes:
        name: the name of the cell.
        slot: the name of the slot or machine where the cell runs.
        num_epochs: the maximum number of epochs.
        started: the time when the cell got its process.
        begun: the time when training began, after `num_done_before` epochs; None before training.
        num_done: the number of completed epochs, including `num_done_before`.
        last: the time when the last epoch ended; None before the first one in this process.
        accuracy: the validation accuracy after the last epoch; None before the first one in this process.
    """

    name: str
    slot: str
    num_epochs: int
    started: float
    begun: float | None = None
    num_done_before: int = 0
    num_done: int = 0
    last: float | None = None
    accuracy: float | None = None

    def remaining_s(self, now: float) -> float | None:
        """Estimate the seconds for the remaining epochs if all are trained; None before the first epoch has ended."""
        if self.begun is None or self.last is None:
            return None
        epoch_s = (self.last - self.begun) / (self.num_done - self.num_done_before)
        return max(0.0, self.last + epoch_s * (self.num_epochs - self.num_done) - now)

    def texts(self, now: float) -> tuple[str, str, str, str]:
        """Return the texts of the columns after the name."""
        if self.begun is None:
            return self.slot, "starts", "", ""
        epoch = f"{self.num_done:>{len(str(self.num_epochs))}}/{self.num_epochs}"
        accuracy = "" if self.accuracy is None else f"{self.accuracy:.2%}"
        return self.slot, epoch, accuracy, clock(self.remaining_s(now))


class LiveTable(Lines):
    """A listener for a terminal: a row per running cell, the sweep below, and above a permanent line per ended cell.

    Args:
        num_cells: the number of cells to run.
    """

    def __init__(self, num_cells: int) -> None:
        super().__init__(num_cells)
        self.rows: dict[str, Row] = {}
        self.durations_s: list[float] = []

    def on_process_start(self, cell: "Cell", where: str) -> None:
        self.rows[cell.id] = Row(cell.name, where, cell.config.epochs, time.monotonic())

    def on_train_start(self, cell: "Cell", num_done: int) -> None:
        row = self.rows[cell.id]
        row.num_done = row.num_done_before = num_done
        row.begun = time.monotonic()

    def on_epoch_end(self, cell: "Cell", epoch: "Epoch") -> None:
        row = self.rows[cell.id]
        row.num_done, row.accuracy, row.last = epoch.number, epoch.val_accuracy, time.monotonic()

    def on_cell_end(self, result: "Result") -> None:
        row = self.rows.pop(result.cell, None)  # None if the cell never got a machine
        if row and result.finished:
            self.durations_s.append(time.monotonic() - row.started)
        super().on_cell_end(result)

    def on_notice(self, text: str) -> None:
        if sys.stderr.isatty():  # the same terminal: only output through its console keeps the table intact
            CONSOLE.print(text, markup=False, soft_wrap=True)
        else:
            super().on_notice(text)

    def render(self) -> Group:
        """Return the current table. The thread that redraws the table calls this method."""
        now, rows = time.monotonic(), list(self.rows.values())
        room = max(1, CONSOLE.height - 4)  # a table higher than the terminal would lose its last line, the whole sweep
        texts = [HEADINGS, *(row.texts(now) for row in rows[:room])]
        widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
        name_width = max(MIN_NAME_WIDTH, CONSOLE.width - sum(widths) - PADDING[1] * len(widths))
        names = ["running", *(shortened(row.name, name_width) for row in rows[:room])]
        table = Table.grid(padding=PADDING)
        for _ in range(1 + len(HEADINGS)):
            table.add_column(no_wrap=True)
        for number, (name, columns) in enumerate(zip(names, texts, strict=True)):
            table.add_row(name, *columns, style="" if number else "dim")
        hidden = [Text(f"and {len(rows) - room} more", style="dim")] if len(rows) > room else []
        return Group(table, *hidden, self._whole(now, rows))

    def _whole(self, now: float, rows: Sequence[Row]) -> Table:
        """Return the line that shows the whole sweep."""
        done = self.num_over + sum(row.num_done / row.num_epochs for row in rows)
        failed = f", {self.num_failed} failed" if self.num_failed else ""
        line = Table.grid(padding=PADDING)
        bar = ProgressBar(self.num_cells, done, width=BAR_WIDTH)
        line.add_row(bar, f"{self.num_over}/{self.num_cells} cells{failed}", clock(self._remaining_s(now, rows)))
        return line

    def _remaining_s(self, now: float, rows: Sequence[Row]) -> float | None:
        """Estimate the remaining seconds of the sweep from the cells so far; None until a cell finishes an epoch."""
        remaining = [row.remaining_s(now) for row in rows]
        totals = [now - row.started + left for row, left in zip(rows, remaining, strict=True) if left is not None]
        if not rows or not (totals := totals + self.durations_s):
            return None
        typical_s = sum(totals) / len(totals)
        num_waiting = self.num_cells - self.num_over - len(rows)
        work_s = num_waiting * typical_s + sum(typical_s if left is None else left for left in remaining)
        return work_s / len(rows)


def clock(seconds: float | None) -> str:
    """Format a duration as `1:05` or `2:01:05`; return an empty string if it is unknown."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def shortened(name: str, width: int) -> str:
    """Return `name` in at most `width` characters, cut in the middle: cells often differ at one end of their names."""
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return f"{name[: width - 1 - tail]}…{name[len(name) - tail :]}"


@contextmanager
def board(num_cells: int) -> Iterator[CellListener]:
    """Yield the listener that shows the progress of `num_cells` cells: a live table on a terminal, or else lines."""
    if not CONSOLE.is_terminal:
        yield Lines(num_cells)
        return
    table = LiveTable(num_cells)
    with Live(get_renderable=table.render, console=CONSOLE, transient=True, redirect_stderr=sys.stderr.isatty()):
        yield table
