"""The summary of a search: how far its trials came, what they cost and saved, and which of its cells are compared.

The trials are not compared: each has one seed, and the best of many is the best partly by luck. Instead, the
configurations that were trained again with seeds unknown to the search are compared, as the cells of any sweep are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from image_sweeps.cell.search_record import Cost, SearchRecord, Trial, cost_of, pareto_front
from image_sweeps.cell.status import CellStatus
from image_sweeps.report.formatting import count, duration, listed, percent, short
from image_sweeps.report.record import Record

MAX_COMPARED = 10
"""The number of best trials that are compared if none was trained again with fresh seeds."""

SHOWN = {"parameters": "{:,.0f} parameters", "seconds": "{:.1f} s", "val/loss": "a validation loss of {:.4f}"}

VERBS = {
    CellStatus.FINISHED: ("finished", "finished"),
    CellStatus.PRUNED: ("was pruned", "were pruned"),
    CellStatus.FAILED: ("failed", "failed"),
    CellStatus.RUNNING: ("is not over", "are not over"),
}
"""The verb for one trial and for several trials, by status."""


@dataclass(frozen=True)
class SearchSummary:
    """The summary of a search.

    Attributes:
        objectives, directions, sampler, pruner, space, n_trials, complete, importances: as in `SearchRecord`.
        counts: the number of trials by status.
        num_same: the number of trials with the same cell as an earlier trial.
        num_epochs: the number of epochs that all trials trained together.
        num_epochs_saved: the number of epochs that pruned trials would have trained in addition.
        seconds_saved: the time that these epochs would have taken, at the pace of each trial.
        confirmed: whether the best trials were trained again with fresh seeds.
        best: the numbers of the best trials: one trial, or for several objectives the Pareto front.
        trials: all trials.
    """

    objectives: Sequence[str]
    directions: Sequence[str]
    sampler: Mapping[str, object]
    pruner: Mapping[str, object]
    space: Mapping[str, str]
    n_trials: int | None
    complete: bool
    importances: Mapping[str, float] | None
    counts: Mapping[str, int]
    num_same: int
    num_epochs: int
    num_epochs_saved: int
    seconds_saved: float
    confirmed: bool
    best: Sequence[int]
    trials: Sequence[Trial]

    @property
    def best_first(self) -> list[Trial]:
        """The trials sorted from best to worst; trials without a value are last."""
        place = {number: rank for rank, number in enumerate(ranked(self.trials, self.directions))}
        return sorted(self.trials, key=lambda trial: (place.get(trial.number, len(place)), -trial.num_epochs))

    @property
    def keys(self) -> list[str]:
        """The keys that vary, as one would type them."""
        return list(dict.fromkeys(key for trial in self.trials for key in trial.point))

    @property
    def name(self) -> str:
        """The names of the sampler and of the pruner."""
        pruner = "" if self.pruner["name"] == "none" else f", pruner {self.pruner['name']}"
        return f"sampler {self.sampler['name']}{pruner}"


def summed_up(search: SearchRecord, confirmed: bool) -> SearchSummary:
    """Return the summary of a search.

    Args:
        search: the record of the search in its present state.
        confirmed: whether the best trials were trained again with fresh seeds.
    """
    counts: dict[str, int] = {}
    for trial in search.trials:
        counts[trial.state] = counts.get(trial.state, 0) + 1
    pruned = [trial for trial in search.trials if trial.state is CellStatus.PRUNED and trial.same_as is None]
    left = [(search.num_epochs - trial.num_epochs, trial) for trial in pruned]
    costs = _costs(search.trials, search.directions)
    best = pareto_front(costs) if len(search.directions) > 1 else list(costs)[:1]
    return SearchSummary(
        objectives=search.objectives,
        directions=search.directions,
        sampler=search.sampler,
        pruner=search.pruner,
        space=search.space,
        n_trials=search.n_trials,
        complete=search.complete,
        importances=search.importances,
        counts=counts,
        num_same=sum(trial.same_as is not None for trial in search.trials),
        num_epochs=sum(trial.num_epochs for trial in search.trials),
        num_epochs_saved=sum(epochs for epochs, _ in left),
        seconds_saved=sum(epochs * trial.seconds / trial.num_epochs for epochs, trial in left if trial.num_epochs),
        confirmed=confirmed,
        best=best,
        trials=search.trials,
    )


def ranked(trials: Sequence[Trial], directions: Sequence[str]) -> list[int]:
    """Return the numbers of the finished trials, each cell once, sorted by the first objective, the best first."""
    return list(_costs(trials, directions))


def _costs(trials: Sequence[Trial], directions: Sequence[str]) -> dict[int, Cost]:
    """Return the costs of the finished trials by number, in the order of `ranked`."""
    costs = {t.number: cost_of(t.values, directions) for t in trials if t.values is not None and t.same_as is None}
    return dict(sorted(costs.items(), key=lambda item: (item[1], item[0])))


def cells_to_compare(cells: Sequence[Record], search: SearchRecord) -> list[Record]:
    """Return the cells to compare: those with fresh seeds if any has finished, else the best or else all trials."""
    by_id = {cell.id: cell for cell in cells}
    confirmed = [by_id[cell] for cell in search.confirmed if cell in by_id]
    if any(cell.finished for cell in confirmed):
        return confirmed
    of_trial = {trial.number: trial.cell for trial in search.trials}
    best = [str(of_trial[number]) for number in ranked(search.trials, search.directions)][:MAX_COMPARED]
    return [by_id[cell] for cell in best if cell in by_id] or trials_of(cells, search)


def trials_of(cells: Sequence[Record], search: SearchRecord) -> list[Record]:
    """Return the cells of the trials in order, each cell once."""
    by_id = {cell.id: cell for cell in cells}
    ids = dict.fromkeys(str(trial.cell) for trial in search.trials)
    return [by_id[cell] for cell in ids if cell in by_id]


def sentences(search: SearchSummary) -> list[str]:
    """Return sentences about the course and the outcome of the search."""
    said = [_effort(search)]
    if not search.best:
        return [*said, "No trial has finished."]
    by_number = {trial.number: trial for trial in search.trials}
    best = by_number[search.best[0]]
    setting = " ".join(f"{key}={short(value)}" for key, value in best.point.items())
    if len(search.objectives) > 1:
        names = listed([f"trial {number}" for number in sorted(search.best)])
        first = f"trial {best.number} ({setting}), with {_values(best, search)}"
        said.append(f"No other trial beats {names} in every objective; the first by {search.objectives[0]} is {first}.")
    else:
        said.append(f"The best is trial {best.number} ({setting}), with {_values(best, search)}.")
    if search.confirmed:
        said.append("Being the best of many it is so by luck too; this is what fresh seeds say of it:")
    else:
        said.append(
            "Being the best of many it is so by luck too, and was not trained anew: hydra.sweeper.confirm_seeds=5 does "
            "that, beside the default configuration."
        )
    return said


def _effort(search: SearchSummary) -> str:
    """Return a sentence about the number of trials by status, and about what pruning saved."""
    states = [
        f"{number} {verbs[number != 1]}" for state, verbs in VERBS.items() if (number := search.counts.get(state))
    ]
    saved = ""
    if search.num_epochs_saved:
        total = search.num_epochs + search.num_epochs_saved
        saved = (
            f"; pruning saved {search.num_epochs_saved} of {count(total, 'epoch')}, "
            f"about {duration(search.seconds_saved)} of training"
        )
    same = f"; {search.num_same} had the cell of an earlier one" if search.num_same else ""
    return f"Of {count(len(search.trials), 'trial')}, {listed(states) or 'none was begun'}{saved}{same}."


def _values(trial: Trial, search: SearchSummary) -> str:
    return listed([shown(goal, value) for goal, value in zip(search.objectives, trial.values or (), strict=True)])


def shown(goal: str, value: float) -> str:
    """Return the value of an objective in words."""
    return f"a validation accuracy of {percent(value)}" if goal == "val/accuracy" else SHOWN[goal].format(value)
