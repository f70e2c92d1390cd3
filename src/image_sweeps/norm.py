"""Normalization layers. A model asks for one by the input that it gets: feature maps (N, C, H, W) or vectors (N, F).

Every layer has a learned scale and shift per channel or feature.
"""

from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Protocol

from pydantic import Field, PositiveInt
from torch import nn

Epsilon = Annotated[float, Field(gt=0)]


class Norm(Protocol):
    """The interface of every choice of the group."""

    def maps(self, num_channels: int) -> nn.Module:
        """Return the layer after a convolution with `num_channels` filters."""

    def vectors(self, num_features: int) -> nn.Module:
        """Return the layer after a linear layer with `num_features` outputs.

        Raises:
            ValueError: if the layer would leave too little of the vector to learn from.
        """


@dataclass(frozen=True)
class NoNorm:
    """No normalization."""

    def maps(self, num_channels: int) -> nn.Module:
        return nn.Identity()

    def vectors(self, num_features: int) -> nn.Module:
        return nn.Identity()


@dataclass(frozen=True)
class BatchNorm:
    """Normalization of each channel over the batch and all positions (Ioffe and Szegedy, 2015, arXiv:1502.03167)."""

    _: KW_ONLY
    eps: Epsilon
    momentum: Annotated[float, Field(gt=0, le=1)]

    def maps(self, num_channels: int) -> nn.Module:
        return nn.BatchNorm2d(num_channels, self.eps, self.momentum)

    def vectors(self, num_features: int) -> nn.Module:
        return nn.BatchNorm1d(num_features, self.eps, self.momentum)


@dataclass(frozen=True)
class LayerNorm:
    """Normalization of each image over all channels and positions (Ba, Kiros and Hinton, 2016, arXiv:1607.06450).

    For feature maps it is a group norm of one group (Wu and He, 2018, section 3), which needs no fixed image size.
    """

    _: KW_ONLY
    eps: Epsilon

    def maps(self, num_channels: int) -> nn.Module:
        return nn.GroupNorm(1, num_channels, self.eps)

    def vectors(self, num_features: int) -> nn.Module:
        _refuse_tiny_groups("norm=layer", num_features)
        return nn.LayerNorm(num_features, self.eps)


@dataclass(frozen=True)
class GroupNorm:
    """Normalization of each image over groups of channels and all positions (Wu and He, 2018, arXiv:1803.08494)."""

    _: KW_ONLY
    num_groups: PositiveInt
    eps: Epsilon

    def maps(self, num_channels: int) -> nn.Module:
        self._refuse_remainder(num_channels)
        return nn.GroupNorm(self.num_groups, num_channels, self.eps)

    def vectors(self, num_features: int) -> nn.Module:
        self._refuse_remainder(num_features)
        _refuse_tiny_groups(f"norm.num_groups = {self.num_groups}", num_features // self.num_groups)
        return nn.GroupNorm(self.num_groups, num_features, self.eps)

    def _refuse_remainder(self, size: int) -> None:
        if size % self.num_groups:
            divisors = [str(d) for d in range(1, size + 1) if size % d == 0]
            raise ValueError(
                f"norm.num_groups = {self.num_groups}: must divide the {size} channels that a layer of the network "
                f"has; {', '.join(divisors)} do"
            )


def _refuse_tiny_groups(setting: str, group_size: int) -> None:
    """Refuse groups of one or two values: with mean 0 and variance 1 they are constants, and nothing can be learned."""
    if group_size < 3:
        raise ValueError(
            f"{setting}: would normalise over {group_size} value{'s'[: group_size != 1]} of a vector, which leaves "
            "constants; take norm=batch or a wider layer, or, on the output of a cnn, model.norm_output=false"
        )
