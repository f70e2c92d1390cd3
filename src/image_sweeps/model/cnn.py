"""The small convolutional networks of the batch-norm study and of the study of two drawn characters.

They differ only in their settings; batch norm is one choice of `norm` among others.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Annotated

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from image_sweeps.dataset import Shape
from image_sweeps.model.mlp import MLP
from image_sweeps.norm import Norm


class CNN(nn.Module):
    """Blocks of convolution, norm, activation and 2x2 max pooling, then dense layers to the classes.

    Args:
        shape: the shape of the images.
        num_classes: the number of classes, which is the width of the logits.
        activation: the factory of the activations of blocks and of hidden dense layers.
        norm: the factory of the norms of the same layers, before the activation, and of the norm of the output.
        channels: the number of filters of each block.
        kernel_size: the kernel size of the convolutions; odd, so that a padding of half of it keeps the size.
        hidden: the width of each dense layer between the last feature maps and the output; may be empty.
        norm_output: whether a norm also follows the linear output layer.

    Raises:
        ValueError: if the kernel size is even, the images are too small for the poolings, or the norm does not fit.
    """

    def __init__(
        self,
        shape: Shape,
        num_classes: int,
        activation: Callable[[], nn.Module],
        norm: Norm,
        *,
        channels: Annotated[tuple[PositiveInt, ...], Field(min_length=1, strict=False)],
        kernel_size: PositiveInt,
        hidden: Annotated[tuple[PositiveInt, ...], Field(strict=False)],
        norm_output: bool,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"model.kernel_size = {kernel_size}: must be odd, so that the padding keeps the size")
        shrink = 2 ** len(channels)
        if min(shape.height, shape.width) < shrink:
            raise ValueError(
                f"dataset.image_size = {min(shape.height, shape.width)}: too small for the {len(channels)} poolings of "
                f"model.channels = {list(channels)}, which need at least {shrink}"
            )
        blocks = [
            nn.Sequential(
                nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2),
                norm.maps(outputs),
                activation(),
                nn.MaxPool2d(2),
            )
            for inputs, outputs in pairwise((shape.channels, *channels))
        ]
        last = Shape(channels[-1], shape.height // shrink, shape.width // shrink)
        self.features = nn.Sequential(*blocks)
        self.head = MLP(last, num_classes, activation, norm, hidden=hidden, dropout=0.0)
        self.output_norm = norm.vectors(num_classes) if norm_output else nn.Identity()

    def forward(self, images_NCHW: Tensor) -> Tensor:
        logits_NK: Tensor = self.output_norm(self.head(self.features(images_NCHW)))
        return logits_NK
