"""The parts of a cell, built from its configuration: identical in each process that trains the cell."""

from dataclasses import dataclass

import torch
from torch import nn

from image_sweeps.config.schema import Config
from image_sweeps.dataset import Dataset, Splits, load
from image_sweeps.fit.batches import Normalize
from image_sweeps.fit.loop import Training
from image_sweeps.fit.parallel import World
from image_sweeps.model import build


@dataclass(frozen=True)
class Parts:
    """The parts that a cell needs for its training.

    Attributes:
        config: the configuration of the cell.
        place: the device that the cell trains on.
        source: the data set.
        splits: the training, validation and test split of the data set.
        normalize: the normalisation by the mean and deviation of the training split, on `place`.
        model: the network with its initial weights, on `place`.
    """

    config: Config
    place: torch.device
    source: Dataset
    splits: Splits
    normalize: Normalize
    model: nn.Module

    def training(self, world: World) -> Training:
        """Return the training state of the cell, before its first epoch, for one of the processes of `world`."""
        train, val = self.splits.train.to(self.place), self.splits.val.to(self.place)
        return Training(self.model, train, val, self.normalize, self.config, world)


def assemble(config: Config, place: torch.device) -> Parts:
    """Build the parts of the cell that `config` describes.

    Raises:
        DataError: if the data set cannot be read or split.
        WeightsError: if the initial weights cannot be obtained or do not fit.
    """
    source: Dataset = config.dataset.build(config.data_dir)
    splits = load(source, config.outputs_dir / "cache")
    normalize = Normalize(splits.mean, splits.std).to(place)
    model = build(config, source.shape, len(source.class_names), place)
    return Parts(config, place, source, splits, normalize, model)
