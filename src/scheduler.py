"""Learning-rate schedules. Each takes the optimizer, and is stepped once an epoch."""

import torch


def none(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    """The rate stays as the optimizer has it."""
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
