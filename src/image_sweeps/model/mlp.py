"""The multilayer perceptrons of the MLP study: one class, whose dropout, norm and L2 are settings."""

from collections.abc import Callable
from itertools import pairwise
from math import prod
from typing import Annotated

from pydantic import Field, PositiveInt
from torch import nn

from image_sweeps.dataset import Shape
from image_sweeps.norm import Norm


class MLP(nn.Sequential):
    """The pixels as one vector, then a linear layer, norm, activation and dropout per width, then the linear output.

    Args:
        shape: the shape of the images.
        num_classes: the number of classes, which is the width of the logits.
        activation: the factory of the activations of hidden layers.
        norm: the factory of the norms of hidden layers, before the activation.
        hidden: the width of each hidden layer.
        dropout: the probability with which training zeroes a hidden unit (Srivastava et al., 2014, "Dropout: A Simple
            Way to Prevent Neural Networks from Overfitting").

    Raises:
        ValueError: if the norm does not fit a width.
    """

    def __init__(
        self,
        shape: Shape,
        num_classes: int,
        activation: Callable[[], nn.Module],
        norm: Norm,
        *,
        hidden: Annotated[tuple[PositiveInt, ...], Field(min_length=1, strict=False)],
        dropout: Annotated[float, Field(ge=0, lt=1)],
    ) -> None:
        widths = (prod(shape), *hidden)
        blocks = [
            nn.Sequential(
                nn.Linear(inputs, outputs),
                norm.vectors(outputs),
                activation(),
                nn.Dropout(dropout) if dropout else nn.Identity(),
            )
            for inputs, outputs in pairwise(widths)
        ]
        super().__init__(nn.Flatten(), *blocks, nn.Linear(widths[-1], num_classes))
