"""L2, both ways: decay by the optimizer, and a penalty in the loss."""

from typing import Any

import torch
from torch import Tensor, nn


def weights(model: nn.Module, regularize_all: bool) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The trainable parameters that L2 acts on, and the others.

    Biases and the parameters of norms are those of one dimension or none; nothing else is.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    chosen = [p for p in trainable if regularize_all or p.ndim > 1]
    others = [p for p in trainable if not regularize_all and p.ndim <= 1]
    return chosen, others


def parameter_groups(model: nn.Module, regularize_all: bool) -> list[dict[str, Any]]:
    """The trainable parameters as an optimizer takes them, those that L2 spares without decay."""
    chosen, others = weights(model, regularize_all)
    spared = [{"params": others, "weight_decay": 0.0}] if others else []
    return [{"params": chosen}, *spared]


def penalty(parameters: list[nn.Parameter], l2: float) -> Tensor:
    """l2 / 2 * (the sum of all squared weights), whose gradient is l2 * w."""
    squares = torch.stack(torch._foreach_norm(list[Tensor](parameters))).square().sum()
    return l2 / 2 * squares
