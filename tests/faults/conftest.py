import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest


@pytest.fixture(scope="session")
def aside():
    """Calls a function in a process that has one thread, and so can be forked."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        yield lambda work, *arguments: process.submit(work, *arguments).result()
