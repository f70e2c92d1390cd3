"""The console: output to the terminal and to standard error. In a log or a pipe, progress bars are not shown."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PATIENCE_S = 1.0
"""The duration in seconds after which planning shows its progress."""


STDOUT, STDERR = 1, 2

CONSOLE = Console(highlight=False)


if not CONSOLE.is_terminal:
    CONSOLE.width = 160  # a log has no edge to wrap at
ERRORS = Console(stderr=True, highlight=False, soft_wrap=True)


def show_error(text: str) -> None:
    """Print a message on standard error."""
    shown = text.encode(errors="backslashreplace").decode()  # bytes on a command line need not be UTF-8
    ERRORS.print(shown, markup=False)


def show_row(heading: str, text: str) -> None:
    """Print one line of the summary before training: a heading and its text."""
    CONSOLE.print(f"  [dim]{heading:<12}[/] {escape(text)}", soft_wrap=True)


@contextmanager
def planning(num_arms: int) -> Iterator[Callable[[], None]]:
    """Yield a function to call after each planned arm; a bar shows the progress if planning exceeds `PATIENCE_S`."""
    columns = (TextColumn("planning"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=CONSOLE, transient=True, disable=not CONSOLE.is_terminal)
    task = bar.add_task("arms", total=num_arms)
    begun = time.monotonic()

    def arm_over() -> None:
        bar.advance(task)
        if time.monotonic() - begun > PATIENCE_S:
            bar.start()

    try:
        yield arm_over
    finally:
        bar.stop()


def redirect_output(path: Path, mode: int = 0o644) -> None:
    """Append everything that this process writes to standard output and error to the file at `path`."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, mode)
    os.dup2(file, STDOUT)
    os.dup2(file, STDERR)
    os.close(file)
