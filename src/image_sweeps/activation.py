"""Activations. A model calls its factory once for every place that has one, so a swept activation reaches them all."""

from typing import Annotated, Literal

from pydantic import Field
from torch import nn


def relu() -> nn.Module:
    """max(0, x) (Nair and Hinton, 2010)."""
    return nn.ReLU()


def leaky_relu(*, negative_slope: Annotated[float, Field(ge=0, lt=1)]) -> nn.Module:
    """X where x > 0, else negative_slope * x (Maas, Hannun and Ng, 2013)."""
    return nn.LeakyReLU(negative_slope)


def gelu(*, approximate: Literal["none", "tanh"]) -> nn.Module:
    """X * Phi(x), with the standard normal distribution function Phi (Hendrycks and Gimpel, 2016, arXiv:1606.08415)."""
    return nn.GELU(approximate)


def silu() -> nn.Module:
    """X * sigmoid(x) (Elfwing, Uchibe and Doya, 2017, arXiv:1702.03118)."""
    return nn.SiLU()


def elu(*, alpha: Annotated[float, Field(gt=0)]) -> nn.Module:
    """X where x > 0, else alpha * (exp(x) - 1) (Clevert, Unterthiner and Hochreiter, 2015, arXiv:1511.07289)."""
    return nn.ELU(alpha)


def tanh() -> nn.Module:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    return nn.Tanh()
