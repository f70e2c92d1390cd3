"""A summary of a network, layer by layer, from its forward pass."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from image_sweeps.dataset import Shape


class Layer(NamedTuple):
    """One leaf layer: its name in the network, its type, its output shape without the batch, its parameter count."""

    name: str
    type: str
    output_shape: tuple[int, ...]
    num_parameters: int


def layers(model: nn.Module, shape: Shape) -> list[Layer]:
    """Return the layers of `model` in the order in which they run on an image of `shape`; the model is unchanged."""
    seen: list[Layer] = []

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def note(module: nn.Module, _: object, output: Tensor) -> None:
            num_parameters = sum(p.numel() for p in module.parameters())
            seen.append(Layer(name, type(module).__name__, tuple(output.shape[1:]), num_parameters))

        return module.register_forward_hook(note)

    leaves = [(n, m) for n, m in model.named_modules() if not any(m.children()) and not isinstance(m, nn.Identity)]
    handles = [watch(name, module) for name, module in leaves]
    was_training = model.training
    device = next(model.parameters()).device
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, *shape, device=device))
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return seen


def num_parameters(model: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
