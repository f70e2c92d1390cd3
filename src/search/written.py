"""What the study knows, as the record that a report is made of."""

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from src.search.options import Goal, SearchOptions
from src.search.record import SearchRecord, State, Trial, cost_of, unbeaten
from src.search.space import Space
from src.search.study import CELL, EPOCHS, REFUSED, SAME_AS
from src.sweep.result import Result

if TYPE_CHECKING:  # an extra
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from src.search.run import Search

STATES: dict[str, State] = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}

ENOUGH = 10
"""Finished trials from which importances are told; of fewer, they are mostly chance."""


def record_of(search: "Search") -> SearchRecord:
    """The search as it stands."""
    options, trials = search.options, search.memory.trials()
    complete = search.is_over()
    return SearchRecord(
        objectives=list(options.objectives),
        directions=options.directions,
        sampler=options.sampler.model_dump(),
        pruner=options.pruner.model_dump(),
        space=search.plan.space.said,
        n_trials=search.num_wanted,
        num_epochs=search.config.epochs,
        default=search.plan.default.id,
        complete=complete,
        trials=[_written(trial, search) for trial in trials],
        importances=importances(search.memory.study, trials) if complete else None,
        confirmed=search.confirmed,
    )


def _written(trial: "FrozenTrial", search: "Search") -> Trial:
    cell, same_as = trial.user_attrs.get(CELL), trial.user_attrs.get(SAME_AS)
    refused = trial.user_attrs.get(REFUSED)
    result = search.result_of(cell) if cell and not refused else None
    state = STATES.get(trial.state.name, "running")
    return Trial(
        number=trial.number,
        cell=cell,
        state="failed" if refused else state,
        values=list(trial.values) if state == "finished" else None,
        best=_best(result, search.options.objectives[0]),
        point=_typed(search.plan.space, trial),
        num_epochs=int(trial.user_attrs.get(EPOCHS, 0)),
        seconds=_seconds(result) if same_as is None else 0.0,
        same_as=same_as,
        reason=refused or (result.reason if result else None),
    )


def _typed(space: Space, trial: "FrozenTrial") -> dict[str, str]:
    return dict(text.split("=", 1) for text in space.overrides(trial.params)) if space.is_whole(trial.params) else {}


def _best(result: Result | None, goal: Goal) -> float | None:
    """What is known of the first objective."""
    if result is None or not result.over:
        return None
    value = {"val/accuracy": result.val_accuracy, "val/loss": result.val_loss}.get(goal, math.nan)
    return None if math.isnan(value) else value


def _seconds(result: Result | None) -> float:
    return 0.0 if result is None or math.isnan(result.seconds) else result.seconds


def winners(trials: Sequence["FrozenTrial"], options: SearchOptions) -> list["FrozenTrial"]:
    """The best trials, the best first, each cell once. Of several objectives, those that no other beats in all.

    They are ordered by the first objective.
    """
    costs = {
        trial.number: cost_of(trial.values, options.directions)
        for trial in trials
        if trial.state.name == "COMPLETE" and SAME_AS not in trial.user_attrs
    }
    chosen = unbeaten(costs) if len(options.objectives) > 1 else costs
    best = sorted(chosen, key=lambda number: (costs[number], number))[: options.confirm_best]
    by_number = {trial.number: trial for trial in trials}
    return [by_number[number] for number in best]


def importances(study: "Study", trials: Sequence["FrozenTrial"]) -> dict[str, float] | None:
    """How much of the variance of the first objective each parameter explains, over all finished trials.

    Functional analysis of variance over a random forest (Hutter, Hoos and Leyton-Brown, 2014). Parameters that only
    some trials have are left out.
    """
    import optuna

    if sum(trial.state.name == "COMPLETE" for trial in trials) < ENOUGH:
        return None
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = optuna.importance.get_param_importances(
                study, evaluator=evaluator, target=lambda trial: trial.values[0]
            )
    except (ValueError, RuntimeError):  # all values equal, or nothing varies in all trials
        return None
    return {str(name): float(share) for name, share in found.items()}
