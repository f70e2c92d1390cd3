"""Pretrained weights: torchvision's, or those in a file of the user. Loading either runs no code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

StateDict = dict[str, Tensor]


class WeightsError(ValueError):
    """The weights cannot be loaded or do not fit; the message names them and what the user can do."""


def downloaded(published: Any, setting: str) -> StateDict:
    """Return weights that torchvision publishes, on the CPU, from the cache of torch.hub or else from the network.

    Args:
        published: a member of one of torchvision's enumerations of weights.
        setting: the setting that names the weights, as in `model.weights = 'imagenet'`.

    Raises:
        WeightsError: if the weights are in neither place, or are damaged.
    """
    kept = Path(torch.hub.get_dir()) / "checkpoints" / Path(published.url).name
    try:
        return dict(published.get_state_dict(progress=False, check_hash=True, map_location="cpu", weights_only=True))
    except Exception as error:  # any error of the network or of the cached file
        state = "is damaged" if kept.exists() else f"is not there, and {published.url} could not be downloaded"
        raise WeightsError(
            f"{setting}: {kept} {state} ({_first_line(error)}). Put an intact download of that address there, or name "
            "one with model.weights=PATH, or train from scratch with model.weights=null"
        ) from error


def read(path: Path, setting: str, device: torch.device) -> StateDict:
    """Return the state dict in a file that `torch.save` wrote, bare or inside a checkpoint of this project.

    Args:
        path: the path of the file.
        setting: the setting that names the file, as in `model.weights = 'a.pt'`.
        device: the device of the returned tensors; on meta only their shapes are read.

    Raises:
        WeightsError: if there is no such file, or it holds anything but named tensors.
    """
    try:
        there = path.is_file()
    except OSError:  # too long for a path
        there = False
    if not there:
        raise WeightsError(f"{setting}: there is no such file; name an existing one, or take imagenet or null")
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # whatever reading a file that is something else raises, the answer is the same
        raise WeightsError(
            f"{setting}: is not a file of tensors that torch.save wrote ({_first_line(error)}); "
            "save the network's state_dict()"
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not (isinstance(content, Mapping) and content and all(isinstance(value, Tensor) for value in content.values())):
        raise WeightsError(f"{setting}: holds no state dict of named tensors; save the network's state_dict()")
    return {str(name): tensor for name, tensor in content.items()}


def fit_in(network: nn.Module, weights: StateDict, setting: str, head: str) -> None:
    """Load these weights into `network`, except for the layer called `head`, which is made for other classes.

    Raises:
        WeightsError: if names or shapes differ from those of the network.
    """
    given = {name: tensor for name, tensor in weights.items() if not name.startswith(f"{head}.")}
    own = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith(f"{head}.")}
    differences = [
        *(f"{name} is missing" for name in own if name not in given and not name.endswith("num_batches_tracked")),
        *(f"{name} is not part of it" for name in given if name not in own),
        *(
            f"{name} is {_shape(tensor)}, not {_shape(own[name])}"
            for name, tensor in given.items()
            if name in own and tensor.shape != own[name].shape
        ),
    ]
    if differences:
        more = f" and {len(differences) - 1} more" if len(differences) > 1 else ""
        raise WeightsError(f"{setting}: are not for this network: {differences[0]}{more}")
    network.load_state_dict(given, strict=False)


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
