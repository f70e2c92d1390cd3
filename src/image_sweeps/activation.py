"""Activations. A model calls the factory once for every place with an activation, so a swept one reaches them all."""

from typing import Annotated, Literal

from pydantic import Field
from torch import nn


def relu() -> nn.Module:
    """Return the layer of max(0, x) (Nair and Hinton, 2010)."""
    return nn.ReLU()


def leaky_relu(*, negative_slope: Annotated[float, Field(ge=0, lt=1)]) -> nn.Module:
    """Return the layer of x if x > 0, else negative_slope * x (Maas, Hannun and Ng, 2013)."""
    return nn.LeakyReLU(negative_slope)


def gelu(*, approximate: Literal["none", "tanh"]) -> nn.Module:
    """Return the layer of x * Phi(x), Phi the standard normal CDF (Hendrycks and Gimpel, 2016, arXiv:1606.08415)."""
    return nn.GELU(approximate)


def silu() -> nn.Module:
    """Return the layer of x * sigmoid(x) (Elfwing, Uchibe and Doya, 2017, arXiv:1702.03118)."""
    return nn.SiLU()


def elu(*, alpha: Annotated[float, Field(gt=0)]) -> nn.Module:
    """Return the layer of x if x > 0, else alpha * (exp(x) - 1) (Clevert et al., 2015, arXiv:1511.07289)."""
    return nn.ELU(alpha)


def tanh() -> nn.Module:
    """Return the layer of (exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    return nn.Tanh()
