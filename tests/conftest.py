"""How tests are put in order and shared out, what they are skipped for, and the command line as users run it."""

import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import cache

os.environ.pop("MLFLOW_TRACKING_URI", None)  # a server of the user's is not for tests
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin make a busy machine ten times slower
os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers of pytest-xdist would fight for the cores
os.environ.setdefault("RAY_TMPDIR", f"{tempfile.gettempdir()}/ray-{os.getuid()}")  # not among another user's files

import pytest
import torch
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from image_sweeps.config.composition import hydra_at
from tests.support import warm
from tests.support.configurations import FASHION, ROOT
from tests.support.soak import DEPTH

SOAK_TIMEOUT_S = 900

FOLDERS = ("launch", "tracking", "sweep", "faults", "search", "fuzz", "fit")
"""Those that take longest first: what comes last should not leave one worker at work and the others idle."""


class ByGroup(LoadScopeScheduling):
    """Lets one worker of pytest-xdist take the tests of a module together, which share its fixtures.

    Modules that say `GROUP = "name"` are together with others of the same name: they share a cluster, a server, or a
    fork server of cells.
    `--dist loadgroup` would do that, and does nothing with pytest 9.2 (pytest-xdist 3.8, issue 1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0])


@cache
def group_of(module: str) -> str:
    said = re.search(r'^GROUP = "(\w+)"$', (ROOT / module).read_text(), re.MULTILINE)
    return said[1] if said else module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return ByGroup(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: number for number, name in enumerate(FOLDERS)}
    items.sort(key=lambda item: order.get(item.path.parent.name, len(order)))
    for item in items:
        if DEPTH:
            item.add_marker(pytest.mark.timeout(SOAK_TIMEOUT_S), append=False)  # counts before that of its module
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
def command_line() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`python -m src.train ...` in a process of its own, from the project's folder."""
    return warm.run
