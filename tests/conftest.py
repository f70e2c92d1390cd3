"""What tests share: the choices found in conf/, configurations made of them, and the command line as users run it."""

import os
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

os.environ.pop("MLFLOW_TRACKING_URI", None)  # a server of the user's is not for tests
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin make a busy machine ten times slower
os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers of pytest-xdist would fight for the cores

import pytest
import torch

from src.compose import CONF, Composer, hydra_at
from src.config import Config
from src.dataset import Dataset
from tests.support import warm

ROOT = CONF.parent
FASHION = Path(os.environ.get("DATA_DIR", ROOT / "data")) / "FashionMNIST" / "raw" / "train-images-idx3-ubyte"

CommandLine = Callable[..., subprocess.CompletedProcess[str]]


def choices(group: str) -> list[str]:
    """The choices of a group, by what stands in conf/: a new file is tested on arrival."""
    found = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    assert found
    return found


one_composer = cache(Composer)
"""A new one for each configuration takes 50 times as long; tests/test_compose.py proves that this does not show."""


def config_of(*overrides: str) -> Config:
    """The checked configuration that these overrides make."""
    with hydra_at():
        return one_composer().composed(overrides).config


def source_of(*overrides: str, data_dir: str | Path = "data") -> Dataset:
    """The data set that these overrides choose."""
    source: Dataset = config_of(*overrides).dataset.build(Path(data_dir))
    return source


FOLDERS = ("engines", "tracking", "sweep", "faults", "search", "fuzz", "fit")
"""Those that take longest first: what comes last should not leave one worker at work and the others idle."""


def group_of(item: pytest.Item) -> str:
    """The tests that one worker of pytest-xdist takes together: of a module, which share its fixtures.

    A module, or a folder, whose `GROUP` says so is together with others of the same name: they share a cluster.
    """
    module = item.getparent(pytest.Module)
    assert module is not None
    return str(getattr(module.obj, "GROUP", module.nodeid))


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.xdist_group(group_of(item)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: number for number, name in enumerate(FOLDERS)}
    items.sort(key=lambda item: order.get(item.path.parent.name, len(order)))
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="there is no CUDA device"))
        if item.get_closest_marker("fashion") and not FASHION.exists():
            item.add_marker(pytest.mark.skip(reason=f"Fashion-MNIST is not there: {FASHION}; set DATA_DIR"))


@pytest.fixture
def hydra_conf() -> Iterator[None]:
    """Hydra, knowing conf/."""
    with hydra_at():
        yield


@pytest.fixture(scope="session")
def command_line() -> CommandLine:
    """`python -m src.train ...` in a process of its own, from the project's folder."""
    return warm.run
