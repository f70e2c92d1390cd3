"""The choices found in conf/, and configurations made of them."""

import os
from functools import cache
from pathlib import Path

from image_sweeps.config.composition import CONF, Composer, hydra_at
from image_sweeps.config.schema import Config
from image_sweeps.dataset import Dataset

ROOT = CONF.parent
FASHION = Path(os.environ.get("DATA_DIR", ROOT / "data")) / "FashionMNIST" / "raw" / "train-images-idx3-ubyte"


def choices(group: str) -> list[str]:
    """The choices of a group, by what stands in conf/: a new file is tested on arrival."""
    found = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    assert found
    return found


one_composer = cache(Composer)
"""A new one for each takes 50 times as long; tests/config/test_composition.py proves that this does not show."""


def config_of(*overrides: str) -> Config:
    """The checked configuration that these overrides make."""
    with hydra_at():
        return one_composer().composed(overrides).config


def source_of(*overrides: str, data_dir: str | Path = "data") -> Dataset:
    """The data set that these overrides choose."""
    source: Dataset = config_of(*overrides).dataset.build(Path(data_dir))
    return source
