"""The internals of Optuna that this project uses, in one place; they exist in Optuna 4.9 and 5.0.

In Optuna, only the process that asked for a trial can write to it, through the object that it received. Here the
process of the cell writes to the trial, and another process if that one has died.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # an extra
    from optuna.study import Study
    from optuna.trial import FrozenTrial


def set_user_attr(study: "Study", trial: "FrozenTrial", key: str, value: object) -> None:
    """Set a user attribute of a trial of the study."""
    study._storage.set_trial_user_attr(trial._trial_id, key, value)


def set_intermediate_value(study: "Study", trial: "FrozenTrial", step: int, value: float) -> None:
    """Report an intermediate value of a trial of the study."""
    study._storage.set_trial_intermediate_value(trial._trial_id, step, value)
