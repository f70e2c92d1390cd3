"""Cells trained in the test's own process, on digits unless told otherwise."""

import tempfile
from pathlib import Path

import torch

from src.dataset import load
from src.fit.batches import Normalize
from src.fit.device import make_repeatable
from src.fit.loop import Training
from src.fit.parallel import ALONE
from src.model import build
from tests.conftest import config_of


def training(*overrides, device="cpu", world=ALONE):
    """A cell that is about to train, in one of the processes of `world`."""
    config = config_of(*overrides)
    make_repeatable(config)
    source = config.dataset.build(config.data_dir)
    splits = load(source, Path(tempfile.gettempdir()) / "image-sweeps-test-cache")
    place = torch.device(device)
    net = build(config, source.shape, len(source.class_names), place)
    normalize = Normalize(splits.mean, splits.std).to(place)
    return Training(net, splits.train.to(place), splits.val.to(place), normalize, config, world)


def measured(epoch):
    """What an epoch says that must repeat: all but its times."""
    return {key: value for key, value in vars(epoch).items() if key not in ("epoch_s", "ended_ms")}
