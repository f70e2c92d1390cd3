"""A SLURM of the tests' own, a Ray cluster of theirs, and sweeps on SLURM as users start them."""

import pytest

from tests.support.ray_nodes import Nodes
from tests.support.slurm_cluster import cluster, why_not
from tests.support.slurm_sweeps import Sweep


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """A cluster with two nodes of one core each."""
    if reason := why_not():
        pytest.skip(reason)
    with cluster(tmp_path_factory.mktemp("slurm", numbered=False)) as made:
        yield made


@pytest.fixture
def sweep(slurm, tmp_path):
    """A sweep on it that is not yet started; after the test the queue is empty."""
    made = Sweep(tmp_path, slurm.environment)
    yield made
    made.close()
    slurm.clear()


@pytest.fixture(scope="session")
def two_nodes():
    """A Ray cluster, of which a test may have killed a node."""
    made = Nodes()
    yield made
    made.cluster.shutdown()


@pytest.fixture
def nodes(two_nodes):
    """A Ray cluster of a head without CPUs and two nodes of one CPU each."""
    two_nodes.complete()
    return two_nodes
