"""What tests share: the choices found in conf/, configurations made of them, and the command line as users run it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.pop("MLFLOW_TRACKING_URI", None)  # a server of the user's is not for tests
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin make a busy machine ten times slower

import pytest
import torch

from src.compose import CONF, composed, hydra_at
from src.config import Config
from src.dataset import Dataset

ROOT = CONF.parent
FASHION = Path(os.environ.get("DATA_DIR", ROOT / "data")) / "FashionMNIST" / "raw" / "train-images-idx3-ubyte"

CommandLine = Callable[..., subprocess.CompletedProcess[str]]


def choices(group: str) -> list[str]:
    """The choices of a group, by what stands in conf/: a new file is tested on arrival."""
    found = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    assert found
    return found


def config_of(*overrides: str) -> Config:
    """The checked configuration that these overrides make."""
    with hydra_at():
        return composed(overrides).config


def source_of(*overrides: str, data_dir: str | Path = "data") -> Dataset:
    """The data set that these overrides choose."""
    source: Dataset = config_of(*overrides).dataset.build(Path(data_dir))
    return source


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
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

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "src.train", *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run
