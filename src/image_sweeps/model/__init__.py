"""Networks.

A choice of the group is an `nn.Module` that takes the shape of an image, the number of classes, and the factories of
the swept layers; it maps images N x C x H x W, as `dataset.normalize` scales them, to logits N x K.
"""

import copy

import torch
from torch import nn

from image_sweeps.config.schema import Config
from image_sweeps.dataset import Shape


def build(config: Config, shape: Shape, num_classes: int, device: torch.device) -> nn.Module:
    """Return the cell's network on `device`, in the memory layout in which convolutions are fastest.

    The weights are drawn on the CPU from `config.seed`, so that they do not depend on the device.
    """
    torch.manual_seed(config.seed)
    model: nn.Module = config.model.build(shape, num_classes, config.activation.build, config.norm.build())
    placed: nn.Module = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed


def portable(model: nn.Module) -> nn.Module:
    """Return a copy for export: on the CPU, in eval mode, in the contiguous memory layout that exporters expect."""
    plain: nn.Module = copy.deepcopy(model).to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return plain.eval()
