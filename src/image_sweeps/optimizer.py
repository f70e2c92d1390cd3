"""Optimizers. Each factory takes the parameters to train, and the settings of its YAML file."""

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
    """Return stochastic gradient descent: v <- momentum * v + g, w <- w - lr * v, g = gradient + weight_decay * w.

    With nesterov, w <- w - lr * (g + momentum * v) (Sutskever et al., 2013).
    """
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)


def adam(
    parameters: Parameters, *, lr: PositiveFloat, betas: Betas, eps: PositiveFloat, weight_decay: NonNegativeFloat
) -> torch.optim.Optimizer:
    """Return Adam (Kingma and Ba, 2014, arXiv:1412.6980); the gradient includes weight_decay * w, rescaled with it."""
    return torch.optim.Adam(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)


def adamw(
    parameters: Parameters, *, lr: PositiveFloat, betas: Betas, eps: PositiveFloat, weight_decay: NonNegativeFloat
) -> torch.optim.Optimizer:
    """Return AdamW: decoupled decay w <- w - lr * weight_decay * w (Loshchilov and Hutter, 2017, arXiv:1711.05101)."""
    return torch.optim.AdamW(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
