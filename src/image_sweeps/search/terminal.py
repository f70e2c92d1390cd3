"""Output about a search on the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from image_sweeps.sweep.terminal import short, show_choices
from image_sweeps.system.console import CONSOLE, show_row

if TYPE_CHECKING:  # keeps torch away from --help
    from image_sweeps.search.plan import SearchPlan
    from image_sweeps.sweep.estimate import TimeEstimate


def show_search(sweep_id: str, plan: "SearchPlan") -> None:
    """Show the space, the options and the settings common to all trials, before the first trial starts."""
    options = plan.options
    CONSOLE.print(f"[bold]search {sweep_id}[/]")
    for name, said in plan.space.said.items():
        CONSOLE.print(f"  {escape(name)} = {escape(said)}", soft_wrap=True)
    limits = {"n_trials": options.n_trials, "max_epochs": options.max_epochs, "timeout_s": options.timeout_s}
    ends = "  ".join(f"{key}={short(value)}" for key, value in limits.items() if value is not None)
    show_row(
        "search",
        f"{', '.join(options.objectives)}  sampler={options.sampler.name}  pruner={options.pruner.name}  {ends}",
    )
    CONSOLE.print("what the trials share")
    show_choices([plan.default], without=plan.space.keys())


def show_dry_search(num_over: int, num_trials: int | None, estimate: "TimeEstimate | None") -> None:
    """Show how many trials are over, and how long the remaining ones may take."""
    left = f" of {num_trials}" if num_trials is not None else ""
    CONSOLE.print(f"dry run: {num_over}{left} trials are over; nothing was run")
    if estimate is not None:
        CONSOLE.print(f"estimated time: at most {estimate}", soft_wrap=True, markup=False)


def show_confirmation(labels: Sequence[str], seeds: Sequence[int]) -> None:
    """Show which configurations are trained again after a search, and with which seeds."""
    named = ", ".join(labels)
    CONSOLE.print(f"to confirm: {named}, each with {len(seeds)} fresh seeds ({seeds[0]} to {seeds[-1]})", markup=False)
