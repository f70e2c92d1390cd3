"""L2 regularization in two forms: weight decay by the optimizer, and a penalty in the loss."""

from typing import Any

import torch
from torch import Tensor, nn


def decay_split(model: nn.Module, regularize_all: bool) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the trainable parameters that L2 acts on, and the others.

    Unless `regularize_all`, L2 spares biases and parameters of norms: the only ones with at most one dimension.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    chosen = [p for p in trainable if regularize_all or p.ndim > 1]
    others = [p for p in trainable if not regularize_all and p.ndim <= 1]
    return chosen, others


def parameter_groups(model: nn.Module, regularize_all: bool) -> list[dict[str, Any]]:
    """Return the trainable parameters as groups for an optimizer, with a weight decay of 0 for those that L2 spares."""
    chosen, others = decay_split(model, regularize_all)
    spared = [{"params": others, "weight_decay": 0.0}] if others else []
    return [{"params": chosen}, *spared]


def penalty(parameters: list[nn.Parameter], l2: float) -> Tensor:
    """Return l2 / 2 * (the sum of all squared weights), a scalar whose gradient is l2 * w."""
    squares = torch.stack(torch._foreach_norm(list[Tensor](parameters))).square().sum()
    return l2 / 2 * squares
