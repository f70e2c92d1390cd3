"""Checkpoints: tensors and plain containers, so that loading one runs no code.

`last.pt` is all that a cell needs to go on after an epoch as if it had never been stopped; it is written after every
epoch and gone when the cell has finished. `best.pt` is the network as validation preferred it, with what is needed to
use it again.
"""

import pickle
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from image_sweeps.fit.early_stopping import BestEpoch
from image_sweeps.fit.epoch import Epoch
from image_sweeps.fit.loop import Training
from image_sweeps.system.files import write_whole


class CheckpointError(Exception):
    """A checkpoint is there, and cannot be gone on from."""


@dataclass
class TrainingHistory:
    """What lies behind a cell: its epochs, which of them is the best, and the weights that it left."""

    watch: BestEpoch
    epochs: list[Epoch] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)

    def add(self, epoch: Epoch, model: nn.Module) -> None:
        """One more epoch; `model` is as it left it."""
        self.epochs.append(epoch)
        if self.watch.improves(epoch):
            self.weights = weights(model)

    @property
    def best(self) -> Epoch:
        assert self.watch.best is not None, "there is no epoch yet"
        return self.watch.best


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights, on the CPU."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in model.state_dict().items()}


def save(path: Path, content: dict[str, Any]) -> None:
    """Write tensors, plain containers, numbers and text."""
    write_whole(path, lambda file: torch.save(content, file))


def load(path: Path) -> dict[str, Any]:
    """What `save` wrote; nothing but tensors and plain containers is accepted.

    Raises:
        pickle.UnpicklingError: where the file holds anything else.
    """
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return checkpoint


def save_last(path: Path, training: Training, past: TrainingHistory) -> None:
    """Write what training goes on from. The best weights are in it too: two files could differ, one is old or new."""
    epochs = [asdict(epoch) for epoch in past.epochs]
    save(path, {"training": training.state_dict(), "epochs": epochs, "best": past.weights})


def num_done(path: Path) -> int:
    """How many epochs what `save_last` wrote to `path` has behind it; 0 where there is no such file."""
    return int(load(path)["training"]["num_done"]) if path.exists() else 0


def restore(path: Path, training: Training) -> TrainingHistory:
    """Bring `training` to where `save_last` left it, or leave it at its beginning where there is no file at `path`.

    Raises:
        CheckpointError: where there is one, and it cannot be read or belongs to another network or optimizer.
    """
    past = TrainingHistory(BestEpoch(training.config.early_stopping))
    if not path.exists():
        return past
    try:
        last = load(path)
        training.load_state_dict(last["training"])
        past.epochs = [Epoch(**epoch) for epoch in last["epochs"]]
        past.weights = last["best"]
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path}: cannot go on from this checkpoint ({reason}). Remove it to begin the cell anew."
        ) from error
    for epoch in past.epochs:
        past.watch.improves(epoch)
    return past
