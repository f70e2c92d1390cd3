"""What is used of Optuna's inside, in one place: seen in Optuna 4.9 and 5.0.

Optuna lets only the process that asked for a trial write to it, by the trial that it got. Here the cell's own process
does, and another where that has died.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # an extra
    from optuna.study import Study
    from optuna.trial import FrozenTrial


def set_user_attr(study: "Study", trial: "FrozenTrial", key: str, value: object) -> None:
    """Keep a value with a trial of the study."""
    study._storage.set_trial_user_attr(trial._trial_id, key, value)


def set_intermediate_value(study: "Study", trial: "FrozenTrial", step: int, value: float) -> None:
    """Report a value of a trial of the study."""
    study._storage.set_trial_intermediate_value(trial._trial_id, step, value)
