"""Learning-rate schedules, stepped after every optimizer step, so that an epoch's length does not matter.

Each choice takes the optimizer, the number of epochs and the number of steps per epoch. A schedule runs exactly as
configured: one that does not fit into the epochs is refused when the configuration is checked.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

Factor = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Schedule(ABC):
    """A rule that sets the optimizer's learning rates."""

    @abstractmethod
    def after_step(self) -> None:
        """Set the learning rates of the next step."""

    def after_epoch(self, val_loss: float) -> None:  # noqa: B027, most rules know everything beforehand
        """Take the validation loss of an epoch into account."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return the state that is needed to resume the schedule as if it had never stopped."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the schedule from the result of `state_dict`."""


class PerStep(Schedule):
    """A schedule whose rates are all known before training."""

    def __init__(self, scheduler: LRScheduler) -> None:
        self.scheduler = scheduler

    def after_step(self) -> None:
        self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        return {key: value for key, value in self.scheduler.state_dict().items() if key != "lr_lambdas"}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        lambdas = {"lr_lambdas": [None] * len(self.scheduler.base_lrs)} if isinstance(self.scheduler, LambdaLR) else {}
        self.scheduler.load_state_dict({**state, **lambdas})


class Plateau(Schedule):
    """A schedule that multiplies the rate by `factor` after `patience` + 1 epochs in which val/loss has not fallen.

    Only a fall of more than the share `threshold` below the best val/loss counts.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        warmup: Callable[[int], float],
        factor: float,
        patience: int,
        threshold: float,
    ) -> None:
        self.optimizer, self.warmup = optimizer, warmup
        self.factor, self.patience, self.threshold = factor, patience, threshold
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self.num_steps, self.num_bad, self.scale, self.best = 0, 0, 1.0, math.inf
        self._set()

    def after_step(self) -> None:
        self.num_steps += 1
        self._set()

    def after_epoch(self, val_loss: float) -> None:
        if val_loss < self.best * (1 - self.threshold):
            self.best, self.num_bad = val_loss, 0
        else:
            self.num_bad += 1
        if self.num_bad > self.patience:
            self.scale, self.num_bad = self.scale * self.factor, 0
            self._set()

    def _set(self) -> None:
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base * self.scale * self.warmup(self.num_steps)

    def state_dict(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in ("num_steps", "num_bad", "scale", "best")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for key, value in state.items():
            setattr(self, key, value)
        self._set()


def none(
    optimizer: torch.optim.Optimizer, num_epochs: int, steps_per_epoch: int, *, warmup_epochs: NonNegativeFloat
) -> Schedule:
    """Return a schedule that keeps the optimizer's rate after the warm-up."""
    return PerStep(LambdaLR(optimizer, _warmup(warmup_epochs, steps_per_epoch)))


def step(
    optimizer: torch.optim.Optimizer,
    num_epochs: int,
    steps_per_epoch: int,
    *,
    every_epochs: PositiveInt,
    gamma: Factor,
    warmup_epochs: NonNegativeFloat,
) -> Schedule:
    """Return a schedule that multiplies the rate by gamma after every `every_epochs` epochs, counted from the start."""
    warmup = _warmup(warmup_epochs, steps_per_epoch)

    def factor(t: int) -> float:
        return warmup(t) * float(gamma ** (t // (every_epochs * steps_per_epoch)))

    return PerStep(LambdaLR(optimizer, factor))


def cosine(
    optimizer: torch.optim.Optimizer,
    num_epochs: int,
    steps_per_epoch: int,
    *,
    min_factor: Share,
    warmup_epochs: NonNegativeFloat,
) -> Schedule:
    """Return a schedule that falls by half a cosine wave, from the end of the warm-up to the end of the last epoch.

    It ends at min_factor of the full rate (Loshchilov and Hutter, 2016, arXiv:1608.03983, equation 5, one cycle).
    """
    warmup = _warmup(warmup_epochs, steps_per_epoch)
    start, end = warmup_epochs * steps_per_epoch, num_epochs * steps_per_epoch

    def factor(t: int) -> float:
        progress = max(0.0, t - start) / (end - start)
        return warmup(t) * (min_factor + (1 - min_factor) * (1 + math.cos(math.pi * progress)) / 2)

    return PerStep(LambdaLR(optimizer, factor))


def onecycle(
    optimizer: torch.optim.Optimizer,
    num_epochs: int,
    steps_per_epoch: int,
    *,
    rising_share: Annotated[float, Field(gt=0, lt=1)],
    start_factor: Factor,
    end_factor: Factor,
    cycle_momentum: bool,
) -> Schedule:
    """Return a schedule with a cosine rise to the optimizer's rate, then a cosine fall to end_factor of that rate.

    The source is Smith and Topin, 2017, arXiv:1708.07120.
    """
    return PerStep(
        OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=num_epochs * steps_per_epoch + 1,  # one step more: the rate is also set after the last
            pct_start=rising_share,
            div_factor=1 / start_factor,
            final_div_factor=start_factor / end_factor,
            cycle_momentum=cycle_momentum,
        )
    )


def plateau(
    optimizer: torch.optim.Optimizer,
    num_epochs: int,
    steps_per_epoch: int,
    *,
    factor: Factor,
    patience: NonNegativeInt,
    threshold: Annotated[float, Field(ge=0, lt=1)],
    warmup_epochs: NonNegativeFloat,
) -> Schedule:
    """Return a schedule that lowers the rate when val/loss no longer falls."""
    return Plateau(optimizer, _warmup(warmup_epochs, steps_per_epoch), factor, patience, threshold)


def _warmup(warmup_epochs: float, steps_per_epoch: int) -> Callable[[int], float]:
    """Return the factor of step t, from 0: (t + 1) / n in the first n steps, then 1 (Goyal et al., 2017, sec. 2.2)."""
    num_steps = warmup_epochs * steps_per_epoch
    return lambda t: min(1.0, (t + 1) / num_steps) if num_steps else 1.0
