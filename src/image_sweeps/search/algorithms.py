"""Optuna's samplers and pruners, built from the configuration."""

import hashlib
from typing import TYPE_CHECKING

from image_sweeps.search import options
from image_sweeps.search.options import Pruner, Sampler

if TYPE_CHECKING:  # an extra
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler


def build_sampler(sampler: Sampler, position: int) -> "BaseSampler":
    """Return the sampler that proposes the trial at `position` of a search, counted from 0.

    Each trial has its own sampler, whose random numbers depend on the seed and the position only. So an interrupted
    search proposes the same trials as an uninterrupted one. A single sampler would restart its random numbers in every
    process, and repeat earlier proposals.
    """
    from optuna import samplers

    if sampler.name == "grid":
        return samplers.RandomSampler(seed=0)  # draws nothing: every parameter is fixed
    seed = _seed(sampler.seed, position)
    match sampler:
        case options.TPE():
            return samplers.TPESampler(
                seed=seed,
                n_startup_trials=sampler.n_startup_trials,
                n_ei_candidates=sampler.n_ei_candidates,
                multivariate=True,
                group=True,  # otherwise conditional parameters would be drawn at random
                constant_liar=True,
            )
        case options.GP():
            return samplers.GPSampler(seed=seed, n_startup_trials=sampler.n_startup_trials)
        case options.CMAES():
            return samplers.CmaEsSampler(
                seed=seed, n_startup_trials=sampler.n_startup_trials, warn_independent_sampling=False
            )
        case _:
            return samplers.RandomSampler(seed=seed)


def _seed(seed: int, position: int) -> int:
    """Return the seed of the trial at `position`, unrelated to the seeds of its neighbours."""
    return int.from_bytes(hashlib.sha256(f"{seed} {position}".encode()).digest()[:4], "big")


def build_pruner(pruner: Pruner, num_epochs: int) -> "BasePruner":
    """Return the pruner of trials with at most `num_epochs`; its steps are epochs, counted from 1."""
    from optuna import pruners

    match pruner:
        case options.Median():
            return pruners.MedianPruner(
                n_startup_trials=pruner.n_startup_trials,
                n_warmup_steps=pruner.n_warmup_epochs + 1,  # the first epoch after which a trial may be pruned
                n_min_trials=pruner.n_min_trials,
            )
        case options.Halving():
            return pruners.SuccessiveHalvingPruner(
                min_resource=pruner.min_epochs, reduction_factor=pruner.reduction_factor
            )
        case options.Hyperband():
            return pruners.HyperbandPruner(
                min_resource=pruner.min_epochs,
                max_resource=num_epochs,  # "auto" takes it from the first trial, which may have ended early
                reduction_factor=pruner.reduction_factor,
            )
        case _:
            return pruners.NopPruner()
