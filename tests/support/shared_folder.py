"""A folder as several machines see it: mounted several times, by a file system that knows nothing of the other mounts.

`bindfs` has locks for each mount alone, remembers names for as long as it is told, and calls itself what it is told.
"""

import shutil
import subprocess
from contextlib import ExitStack, contextmanager

import pytest

LOCAL_LOCKS = "attr_timeout=30,entry_timeout=30,negative_timeout=30"
"""As NFS without locks, and with what it remembers at the length that nfs(5) has for folders."""


@contextmanager
def mounts(folder, *names, options):
    """`folder` as machines of these names see it, beside it."""
    if shutil.which("bindfs") is None:
        pytest.skip("bindfs is not installed")
    with ExitStack() as stack:
        yield [stack.enter_context(_mounted(folder, folder.with_name(name), options)) for name in names]


@contextmanager
def _mounted(folder, place, options):
    place.mkdir()
    made = subprocess.run(["bindfs", "-o", options, folder, place], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"a folder cannot be mounted here: {made.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
