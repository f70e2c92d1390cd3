"""What the terminal shows: the choices first, a line an epoch, the results last. In a log or a pipe, no epochs."""

import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:  # keeps torch away from --help
    from pathlib import Path

    from src.dataset import Dataset, Splits
    from src.fit.epoch import Epoch
    from src.interrupt import Interrupt
    from src.search.plan import SearchPlan
    from src.sweep.cell import Cell
    from src.sweep.estimate import Estimate
    from src.sweep.plan import Plan
    from src.sweep.result import Result

TRAINING_KEYS = (
    *("epochs", "batch_size", "seed", "precision"),
    *("label_smoothing", "clip_grad_norm", "l2", "regularize_all"),
)

PATIENCE_S = 1.0
"""What takes longer shows how far it is."""

MAX_LISTED = 20
"""Of the cells, and of the values of a factor, that a dry run shows."""

MAX_ROWS = 24
"""Of a table of results."""

CONSOLE = Console(highlight=False)
if not CONSOLE.is_terminal:
    CONSOLE.width = 160  # a log has no edge to wrap at
ERRORS = Console(stderr=True, highlight=False, soft_wrap=True)


def show_error(text: str) -> None:
    """A message that stands by itself, on standard error."""
    shown = text.encode(errors="backslashreplace").decode()  # bytes on a command line need not be UTF-8
    ERRORS.print(shown, markup=False)


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


def show_search(sweep_id: str, plan: "SearchPlan") -> None:
    """What a search varies, how, and what all its trials share, before the first of them."""
    options = plan.options
    CONSOLE.print(f"[bold]search {sweep_id}[/]")
    for name, said in plan.space.said.items():
        CONSOLE.print(f"  {escape(name)} = {escape(said)}", soft_wrap=True)
    limits = {"n_trials": options.n_trials, "max_epochs": options.max_epochs, "timeout_s": options.timeout_s}
    ends = "  ".join(f"{key}={_short(value)}" for key, value in limits.items() if value is not None)
    _row(
        "search",
        f"{', '.join(options.objectives)}  sampler={options.sampler.name}  pruner={options.pruner.name}  {ends}",
    )
    CONSOLE.print("what the trials share")
    _show_choices([plan.default], without=plan.space.keys())


def show_dry_search(num_over: int, num_trials: int | None, estimate: "Estimate | None") -> None:
    """What is left of a search, and how long that may take."""
    left = f" of {num_trials}" if num_trials is not None else ""
    CONSOLE.print(f"dry run: {num_over}{left} trials are over; nothing was run")
    if estimate is not None:
        CONSOLE.print(f"estimated time: at most {estimate}", soft_wrap=True, markup=False)


def show_confirmation(labels: Sequence[str], seeds: Sequence[int]) -> None:
    """Which configurations are trained anew after a search."""
    named = ", ".join(labels)
    CONSOLE.print(f"to confirm: {named}, each with {len(seeds)} fresh seeds ({seeds[0]} to {seeds[-1]})", markup=False)


def _show_cell(cell: "Cell", source: "Dataset", splits: "Splits", device: object) -> None:
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


def _show_choices(cells: "Sequence[Cell]", without: Container[str] = ()) -> None:
    """The choices and settings that `cells` have in common; what differs between them is passed over.

    Args:
        cells: all of them.
        without: keys that differ in others.
    """
    first = cells[0]
    for group, choice in first.choices.items():
        part = getattr(first.config, group)
        if group not in without and all((c.choices[group], getattr(c.config, group)) == (choice, part) for c in cells):
            own = {key: value for key, value in part.arguments().items() if f"{group}.{key}" not in without}
            settings = [f"{key}={_short(value)}" for key, value in own.items()]
            _row(group, "  ".join([choice, *settings]))
    run_level = {key: getattr(first.config, key) for key in TRAINING_KEYS if key not in without}
    common = {k: v for k, v in run_level.items() if all(getattr(c.config, k) == v for c in cells)}
    _row("training", "  ".join(f"{key}={_short(value)}" for key, value in common.items() if value is not None))


def _row(heading: str, text: str) -> None:
    CONSOLE.print(f"  [dim]{heading:<12}[/] {escape(text)}", soft_wrap=True)


def show_failure(name: str, text: str) -> None:
    """Why a cell failed, at once."""
    show_error(f"{name} failed. {text}")


class CellLines:
    """The progress of a cell in this process: a bar while it runs, and a line for each epoch that stays.

    Where nobody looks, in a log or a pipe, epochs are not printed: they are in the cell's log and in MLflow.
    """

    def __init__(self, bar: Progress, interrupt: "Interrupt") -> None:
        self.bar = bar
        self.interrupt = interrupt
        self.num_epochs = 0

    def begun(self, cell: "Cell", source: "Dataset", splits: "Splits", place: object, num_done: int) -> None:
        _show_cell(cell, source, splits, place)
        if num_done:
            _row("goes on", f"after epoch {num_done} of {cell.config.epochs}")
        self.num_epochs = cell.config.epochs
        self.task = self.bar.add_task("epochs", total=self.num_epochs, completed=num_done)
        if CONSOLE.is_terminal:
            self.bar.console.print(
                "[dim]    epoch   train loss   accuracy   val loss   accuracy         lr   seconds[/]"
            )

    def epoch_over(self, epoch: "Epoch") -> None:
        self.bar.advance(self.task)
        if CONSOLE.is_terminal:
            self.bar.console.print(
                f"  {f'{epoch.number}/{self.num_epochs}':>7}"
                f"   {epoch.train_loss:>10.4f}   {epoch.train_accuracy:>8.2%}"
                f"   {epoch.val_loss:>8.4f}   {epoch.val_accuracy:>8.2%}"
                f"   {epoch.lr:>8.3g}   {epoch.epoch_s:>7.1f}"
            )

    def failed(self, cell: "Cell", text: str) -> None:
        show_failure(cell.name, text)

    def note(self, text: str) -> None:
        show_error(text)

    @property
    def stop_requested(self) -> bool:
        return self.interrupt.requested


@contextmanager
def following(interrupt: "Interrupt") -> Iterator[CellLines]:
    """What shows the progress of cells that run in this process, and asks them to stop where `interrupt` was."""
    columns = (TextColumn("  training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=CONSOLE, transient=True, disable=not CONSOLE.is_terminal) as bar:
        yield CellLines(bar, interrupt)


@contextmanager
def planning(num_arms: int) -> Iterator[Callable[[], None]]:
    """What is called after each arm that was looked at; a bar shows how far that is, where it takes its time."""
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


def show_dry_run(plan: "Plan", states: Mapping[str, str], estimate: "Estimate") -> None:
    """What a sweep would do, and how long that may take.

    Args:
        plan: the sweep's.
        states: what would become of each cell, by its id.
        estimate: of the cells that would be run.
    """
    counts = Counter(states[cell.id] for cell in plan.cells)
    kinds = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    CONSOLE.print(f"[bold]dry run[/]  {len(plan.cells):,} cell{'s'[: len(plan.cells) != 1]}: {escape(kinds)}")
    for key, texts in plan.factors.items():
        values = [text.removeprefix(f"{key}=") for text in texts]
        CONSOLE.print(f"  {escape(key)} = {escape(', '.join(_cut(values)))}", soft_wrap=True)
    if plan.num_duplicates:
        CONSOLE.print(f"  {plan.num_duplicates:,} more are the same as one of these")
    CONSOLE.print("what they share")
    _show_choices(plan.cells)
    table = Table("cell", "id", "", box=box.SIMPLE_HEAD, pad_edge=False)
    for cell in plan.cells[:MAX_LISTED]:
        table.add_row(escape(cell.name), cell.id, escape(states[cell.id]))
    CONSOLE.print(table)
    if more := len(plan.cells[MAX_LISTED:]):
        CONSOLE.print(f"... and {more:,} more")
    CONSOLE.print(f"estimated time: {estimate}", soft_wrap=True, markup=False)


def _cut(values: Sequence[str]) -> list[str]:
    """The first of many."""
    more = len(values) - MAX_LISTED
    return [*values[:MAX_LISTED], *([f"and {more:,} more"] if more > 0 else [])]


def show_standings(text: str, num_reused: int) -> None:
    """What there is of a sweep's cells before it runs, in one line."""
    reused = f" ({num_reused} of them in other sweeps)" if num_reused else ""
    CONSOLE.print(text + reused)


def show_results(results: Sequence["Result"]) -> None:
    """One row a cell; the one that validation prefers is marked. Of many, the best and those that failed."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("cell", overflow="fold")
    for heading in ("val acc", "test acc (95% interval)", "epoch", "params", "s"):
        table.add_column(heading, justify="right", no_wrap=True)
    finished = [result for result in results if result.finished]
    winner = max(finished, key=lambda r: (r.val_accuracy, -r.val_loss), default=None) if len(results) > 1 else None
    shown = results if len(results) <= MAX_ROWS else _best(results)
    for result in shown:
        if not result.finished:
            colour = "yellow" if result.status == "pruned" else "red"
            epoch = str(result.num_epochs) if result.status == "pruned" else ""
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
    """The cells that validation prefers, and those that did not finish."""
    best = sorted((r for r in results if r.finished), key=lambda r: (-r.val_accuracy, r.val_loss))
    return best[:MAX_ROWS] + [r for r in results if not r.over][:MAX_ROWS]


def show_unfinished(num_missing: int, num_failed: int, sweep_id: str) -> None:
    """What is left of a sweep, and how to go on with it."""
    left = [f"{num_missing} not finished"] * bool(num_missing) + [f"{num_failed} failed"] * bool(num_failed)
    if left:
        CONSOLE.print(f"\n{', '.join(left)}: the same command with resume={sweep_id} goes on with them.")


def show_kept(num_records: int, num_runs: int, command: str) -> None:
    """Records that are not in the store yet, and how they come there."""
    CONSOLE.print(
        f"\n{num_records} records of {num_runs} runs are kept here and not in the tracking store yet; to bring them "
        f"there:\n  {command}",
        soft_wrap=True,
        markup=False,
    )


def show_synced(num_brought: int, num_left: int, complaints: Sequence[str]) -> None:
    """What came of bringing records to the store."""
    CONSOLE.print(f"{num_brought} records brought to the tracking store, {num_left} left", markup=False)
    for complaint in complaints:
        show_error(complaint)
    if num_left and not complaints:
        show_error("what is left belongs to runs that go on: their own processes bring it")


def show_answer(sentences: Sequence[str], page: "Path") -> None:
    """What a sweep came to, and the report that says the rest."""
    CONSOLE.print()
    for sentence in sentences:
        CONSOLE.print(sentence, markup=False)
    CONSOLE.print(f"The report: {page}", soft_wrap=True, markup=False)


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
