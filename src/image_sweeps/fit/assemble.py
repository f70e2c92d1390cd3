"""The parts of a cell, put together from its configuration: the same in each of the processes that train it."""

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
    """What a cell trains, on what.

    Attributes:
        config: the cell's.
        place: the device that it trains on.
        source: the data set.
        splits: its images, divided.
        normalize: by the mean and deviation of the training split, on `place`.
        model: with its first weights, on `place`.
    """

    config: Config
    place: torch.device
    source: Dataset
    splits: Splits
    normalize: Normalize
    model: nn.Module

    def training(self, world: World) -> Training:
        """The cell, about to train in one of the processes of `world`."""
        train, val = self.splits.train.to(self.place), self.splits.val.to(self.place)
        return Training(self.model, train, val, self.normalize, self.config, world)


def assemble(config: Config, place: torch.device) -> Parts:
    """Put together what `config` says.

    Raises:
        DataError: where the data set cannot be read or split.
        WeightsError: where weights to begin with cannot be had.
    """
    source: Dataset = config.dataset.build(config.data_dir)
    splits = load(source, config.outputs_dir / "cache")
    normalize = Normalize(splits.mean, splits.std).to(place)
    model = build(config, source.shape, len(source.class_names), place)
    return Parts(config, place, source, splits, normalize, model)
