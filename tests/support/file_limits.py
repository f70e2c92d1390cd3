"""A limit on the size of files, as ulimit -f sets it."""

import resource
from contextlib import contextmanager


@contextmanager
def largest_file(num_bytes):
    """No file grows beyond `num_bytes`, as long as the block."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
