"""torchvision's ResNet-18 (He, Zhang, Ren and Sun, 2015, arXiv:1512.03385), also for small and grey images.

It deviates in three ways: every norm and activation is the swept one, each in a module of its own; the first layers can
be those for small images; the output is for the data set's classes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights
from torchvision.models.resnet import BasicBlock, ResNet

from image_sweeps.dataset import Shape
from image_sweeps.model import weights as elsewhere
from image_sweeps.norm import BatchNorm, Norm

HEAD = "fc"  # torchvision's name of the output layer


class Stem(NamedTuple):
    """The first convolution, whether a pooling follows, and how often the whole network halves the size."""

    kernel_size: int
    stride: int
    pooled: bool
    num_halvings: int


STEMS = {"small": Stem(3, 1, False, 3), "imagenet": Stem(7, 2, True, 5)}


class Block(BasicBlock):  # type: ignore[misc]
    """torchvision's residual block with two activations instead of one that is used twice; ResNet18 sets them."""

    relu: nn.Module
    relu2: nn.Module

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        shortcut = maps_NCHW if self.downsample is None else self.downsample(maps_NCHW)
        residual = self.relu(self.bn1(self.conv1(maps_NCHW)))
        residual = self.bn2(self.conv2(residual))
        residual += shortcut
        out: Tensor = self.relu2(residual)
        return out


class ResNet18(ResNet):  # type: ignore[misc]
    """A stem, four stages of two residual blocks with 64 to 512 channels, the mean over all positions, a linear output.

    Without a norm nothing shifts the feature maps: like torchvision's, the convolutions have no bias.

    Args:
        shape: the shape of the images. For grey images, loaded RGB kernels are summed over their channels, which gives
            the same result as a grey image that is repeated three times.
        num_classes: the number of classes, which is the width of the logits.
        activation: the factory of the activation of the stem and of the two activations of a block.
        norm: the factory of the norm after each convolution.
        weights: None to train from scratch; imagenet for torchvision's weights, trained on ImageNet; else the path of a
            state dict, or of a checkpoint of a run of this project. The output layer is always new.
        freeze_backbone: whether only the output layer is trained; the running statistics of the norms then stay, too.
        stem: imagenet is the paper's, a 7x7 convolution of stride 2 and a pooling of stride 2. small is a 3x3
            convolution of stride 1 and no pooling (Chen et al., 2020, arXiv:2002.05709, appendix B.9). Weights need the
            stem that they were trained with: the stages are not trained on the output of another, new stem.

    Raises:
        ValueError: if the images are too small, the norm does not fit the channels, or settings exclude one another.
        WeightsError: if the weights cannot be loaded or do not fit.
    """

    def __init__(
        self,
        shape: Shape,
        num_classes: int,
        activation: Callable[[], nn.Module],
        norm: Norm,
        *,
        weights: Annotated[str, Field(min_length=1)] | None,
        freeze_backbone: bool,
        stem: Literal["small", "imagenet"],
    ) -> None:
        first = STEMS[stem]
        _refuse_small_images(shape, stem)
        if weights is not None:
            _refuse_weights(weights, stem, norm)
        elif freeze_backbone:
            raise ValueError("model.freeze_backbone = True: needs model.weights; else only noise would be frozen")
        super().__init__(Block, [2, 2, 2, 2], num_classes, norm_layer=norm.maps)
        self.conv1 = nn.Conv2d(
            shape.channels, 64, first.kernel_size, first.stride, padding=first.kernel_size // 2, bias=False
        )
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")  # as in torchvision
        if not first.pooled:
            self.maxpool = nn.Identity()
        self.relu = activation()
        for block in [module for module in self.modules() if isinstance(module, Block)]:
            block.relu, block.relu2 = activation(), activation()
        if weights is not None:
            self._load(weights, stem)
        self.freeze_backbone = freeze_backbone
        if freeze_backbone:
            self.requires_grad_(False)
            self.fc.requires_grad_(True)

    def train(self, mode: bool = True) -> Self:
        """Set train mode, but keep a frozen backbone in eval mode: its batch norms would update their statistics."""
        super().train(mode)
        if self.freeze_backbone:
            for name, child in self.named_children():
                child.train(mode and name == HEAD)
        return self

    def _load(self, weights: str, stem: str) -> None:
        setting = f"model.weights = {weights!r}"
        own = self.conv1.weight
        if weights != "imagenet":
            state = elsewhere.read(Path(weights), setting, own.device)
        elif own.is_meta:  # a configuration is checked without a download
            return
        else:
            state = elsewhere.downloaded(ResNet18_Weights.IMAGENET1K_V1, setting)
        kernels = state.get("conv1.weight", own)
        if kernels.ndim == 4 and (kernels.shape[1], own.shape[1]) == (3, 1):
            state["conv1.weight"] = kernels.sum(1, keepdim=True)
        if kernels.shape[2:] != own.shape[2:]:
            size = "x".join(map(str, kernels.shape[2:]))
            raise elsewhere.WeightsError(
                f"{setting}: begin with a {size} convolution, model.stem = {stem!r} has another; "
                "imagenet is 7x7, small is 3x3"
            )
        elsewhere.fit_in(self, state, setting, HEAD)


def _refuse_small_images(shape: Shape, stem: str) -> None:
    """Refuse images with fewer than two pixels at any halving; the edge of a kernel would see nothing but padding."""
    num_halvings = STEMS[stem].num_halvings
    smallest = 2 ** (num_halvings - 1) + 1  # halvings round up
    if min(shape.height, shape.width) < smallest:
        hint = "; model.stem=small takes smaller ones" if stem == "imagenet" else ""
        raise ValueError(
            f"dataset.image_size = {min(shape.height, shape.width)}: too small for the {num_halvings} halvings of "
            f"model.stem = {stem!r}, which need at least {smallest}{hint}"
        )


def _refuse_weights(weights: str, stem: str, norm: Norm) -> None:
    setting = f"model.weights = {weights!r}"
    is_batch_norm = isinstance(norm, BatchNorm)
    if not is_batch_norm:
        raise ValueError(f"{setting}: were learned with batch norm and need norm=batch; or take model.weights=null")
    if weights == "imagenet" and stem != "imagenet":
        raise ValueError(f"model.stem = {stem!r}: {setting} were learned with the other stem; take model.stem=imagenet")
