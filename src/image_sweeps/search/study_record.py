"""The record of a search for its report, made from the study."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from image_sweeps.cell.result import Result
from image_sweeps.cell.search_record import SearchRecord, Trial, cost_of, pareto_front
from image_sweeps.cell.status import CellStatus
from image_sweeps.search.options import Objective, SearchOptions
from image_sweeps.search.plan import SearchPlan
from image_sweeps.search.space import Space
from image_sweeps.search.study import CELL, EPOCHS, REFUSED, SAME_AS, TrialStore

if TYPE_CHECKING:  # an extra
    from optuna.study import Study
    from optuna.trial import FrozenTrial


STATES = {"COMPLETE": CellStatus.FINISHED, "PRUNED": CellStatus.PRUNED, "FAIL": CellStatus.FAILED}
"""The status for each state of a trial in Optuna, by the name of the state."""

ENOUGH = 10
"""The number of finished trials from which importances are computed; with fewer, they are mostly chance."""


def record_of(
    plan: SearchPlan,
    store: TrialStore,
    result_of: Callable[[str], Result | None],
    *,
    num_wanted: int | None,
    complete: bool,
    confirmed: Mapping[str, str],
) -> SearchRecord:
    """Return the record of the search in its present state.

    Args:
        plan: the plan of the search.
        store: the trials of the search.
        result_of: returns the result of a cell by its id, or None if it has none.
        num_wanted: the total number of trials, or None.
        complete: whether no more trials are to come.
        confirmed: the configurations that were trained with fresh seeds, as in `SearchRecord`.
    """
    options, trials = plan.options, store.trials()
    return SearchRecord(
        objectives=list(options.objectives),
        directions=options.directions,
        sampler=options.sampler.model_dump(),
        pruner=options.pruner.model_dump(),
        space=plan.space.said,
        n_trials=num_wanted,
        num_epochs=plan.default.config.epochs,
        default=plan.default.id,
        complete=complete,
        trials=[_trial(trial, plan, result_of) for trial in trials],
        importances=importances(store.study, trials) if complete else None,
        confirmed=dict(confirmed),
    )


def _trial(trial: "FrozenTrial", plan: SearchPlan, result_of: Callable[[str], Result | None]) -> Trial:
    cell, same_as = trial.user_attrs.get(CELL), trial.user_attrs.get(SAME_AS)
    refused = trial.user_attrs.get(REFUSED)
    result = result_of(cell) if cell and not refused else None
    state = STATES.get(trial.state.name, CellStatus.RUNNING)
    return Trial(
        number=trial.number,
        cell=cell,
        state=CellStatus.FAILED if refused else state,
        values=list(trial.values) if state is CellStatus.FINISHED else None,
        best=_best(result, plan.options.objectives[0]),
        point=_typed(plan.space, trial),
        num_epochs=int(trial.user_attrs.get(EPOCHS, 0)),
        seconds=_seconds(result) if same_as is None else 0.0,
        same_as=same_as,
        reason=refused or (result.reason if result else None),
    )


def _typed(space: Space, trial: "FrozenTrial") -> dict[str, str]:
    return dict(text.split("=", 1) for text in space.overrides(trial.params)) if space.is_whole(trial.params) else {}


def _best(result: Result | None, goal: Objective) -> float | None:
    """Return the value of the objective at the best epoch, or None if it is unknown."""
    if result is None or not result.over:
        return None
    value = {"val/accuracy": result.val_accuracy, "val/loss": result.val_loss}.get(goal, math.nan)
    return None if math.isnan(value) else value


def _seconds(result: Result | None) -> float:
    return 0.0 if result is None or math.isnan(result.seconds) else result.seconds


def winners(trials: Sequence["FrozenTrial"], options: SearchOptions) -> list["FrozenTrial"]:
    """Return the best trials, each cell once; for several objectives, only trials of the Pareto front.

    They are ordered by the first objective, the best first.
    """
    costs = {
        trial.number: cost_of(trial.values, options.directions)
        for trial in trials
        if trial.state.name == "COMPLETE" and SAME_AS not in trial.user_attrs
    }
    chosen = pareto_front(costs) if len(options.objectives) > 1 else costs
    best = sorted(chosen, key=lambda number: (costs[number], number))[: options.confirm_best]
    by_number = {trial.number: trial for trial in trials}
    return [by_number[number] for number in best]


def importances(study: "Study", trials: Sequence["FrozenTrial"]) -> dict[str, float] | None:
    """Return the share of the variance of the first objective that each parameter explains, over all finished trials.

    Functional analysis of variance over a random forest (Hutter, Hoos and Leyton-Brown, 2014). Parameters that only
    some trials have are left out. Return None if there are fewer than `ENOUGH` finished trials, or nothing varies.
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
    except (ValueError, RuntimeError):  # all values are equal, or no parameter varies in all trials
        return None
    return {str(name): float(share) for name, share in found.items()}
