"""Checkpoints of tensors and plain containers, so that loading one runs no code.

`last.pt` holds everything that a cell needs to continue after an epoch as if it had never stopped. It is written after
every epoch and removed when the cell has finished or was pruned. `best.pt` holds the weights of the epoch that
validation chose, with the facts needed to use them again.
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
    """A checkpoint exists, but training cannot continue from it."""


@dataclass
class TrainingHistory:
    """The completed epochs of a cell, the best one of them, and the weights after the best epoch, on the CPU."""

    watch: BestEpoch
    epochs: list[Epoch] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)

    def add(self, epoch: Epoch, model: nn.Module) -> None:
        """Add an epoch; `model` has the weights that the epoch ended with."""
        self.epochs.append(epoch)
        if self.watch.improves(epoch):
            self.weights = weights(model)

    @property
    def best(self) -> Epoch:
        assert self.watch.best is not None, "there is no epoch yet"
        return self.watch.best


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the weights, on the CPU."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in model.state_dict().items()}


def save(path: Path, content: dict[str, Any]) -> None:
    """Write `content`, which consists of tensors, plain containers, numbers and text."""
    write_whole(path, lambda file: torch.save(content, file))


def load(path: Path) -> dict[str, Any]:
    """Return what `save` wrote, with all tensors on the CPU.

    Raises:
        pickle.UnpicklingError: if the file holds anything but tensors and plain containers.
    """
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return checkpoint


def save_last(path: Path, training: Training, past: TrainingHistory) -> None:
    """Write the state that training continues from, and the best weights: a second file could be of another epoch."""
    epochs = [asdict(epoch) for epoch in past.epochs]
    save(path, {"training": training.state_dict(), "epochs": epochs, "best": past.weights})


def num_done(path: Path) -> int:
    """Return how many epochs the checkpoint that `save_last` wrote to `path` has completed; 0 if there is none."""
    return int(load(path)["training"]["num_done"]) if path.exists() else 0


def restore(path: Path, training: Training) -> TrainingHistory:
    """Restore `training` from the checkpoint of `save_last` at `path`, if there is one, and return its history.

    Raises:
        CheckpointError: if the checkpoint cannot be read or belongs to another network or optimizer.
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
