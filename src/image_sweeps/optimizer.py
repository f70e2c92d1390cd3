"""Optimizers. Each takes the parameters to train, and what its YAML says."""

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import nn

Betas = Annotated[
    tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]],
    Field(strict=False),  # a YAML list becomes the tuple
]
Parameters = Iterable[nn.Parameter]


def sgd(
    parameters: Parameters,
    *,
    lr: PositiveFloat,
    momentum: Annotated[float, Field(ge=0, lt=1)],
    nesterov: bool,
    weight_decay: NonNegativeFloat,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent: v <- momentum * v + g, w <- w - lr * v, with g the gradient plus weight_decay * w.

    With nesterov, w <- w - lr * (g + momentum * v) (Sutskever et al., 2013).
    """
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)


def adam(
    parameters: Parameters, *, lr: PositiveFloat, betas: Betas, eps: PositiveFloat, weight_decay: NonNegativeFloat
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba, 2014, arXiv:1412.6980); weight_decay * w is added to the gradient and rescaled with it."""
    return torch.optim.Adam(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)


def adamw(
    parameters: Parameters, *, lr: PositiveFloat, betas: Betas, eps: PositiveFloat, weight_decay: NonNegativeFloat
) -> torch.optim.Optimizer:
    """Adam with decoupled decay, w <- w - lr * weight_decay * w (Loshchilov and Hutter, 2017, arXiv:1711.05101)."""
    return torch.optim.AdamW(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
