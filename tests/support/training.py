"""Cells trained in the test's own process, on digits unless told otherwise."""

import os
import tempfile
from pathlib import Path

import torch

from image_sweeps.dataset import load
from image_sweeps.fit.batches import Normalize
from image_sweeps.fit.device import make_repeatable
from image_sweeps.fit.loop import Training
from image_sweeps.fit.parallel import SINGLE_PROCESS
from image_sweeps.model import build
from tests.support.configurations import config_of


def training(*overrides, device="cpu", world=SINGLE_PROCESS):
    """A cell that is about to train, in one of the processes of `world`."""
    config = config_of(*overrides)
    make_repeatable(config)
    source = config.dataset.build(config.data_dir)
    splits = load(source, Path(tempfile.gettempdir()) / f"image-sweeps-test-cache-{os.getuid()}")
    place = torch.device(device)
    net = build(config, source.shape, len(source.class_names), place)
    normalize = Normalize(splits.mean, splits.std).to(place)
    return Training(net, splits.train.to(place), splits.val.to(place), normalize, config, world)


def measured(epoch):
    """What an epoch says that must repeat: all but its times."""
    return {key: value for key, value in vars(epoch).items() if key not in ("epoch_s", "ended_ms")}
