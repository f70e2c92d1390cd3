"""What the fork server imports and tries out once, so that no cell has to: its children start in milliseconds.

It stays at one thread, because a child gets only the thread that forked, and does not start CUDA, which does not
survive a fork either.
"""

import gc
import os
import signal

gc.disable()  # nothing of what is imported here is garbage, and looking for it takes a second

PARENT = os.getppid()
signal.signal(signal.SIGALRM, lambda *_: None if os.getppid() == PARENT else os._exit(0))
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)  # nobody waits for the imports below if the parent is gone

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"  # read at import; a child sets its own number
os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # of pyarrow's allocator
os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # is there a GPU? asking CUDA itself would start it

import atexit
import importlib
import pkgutil
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from image_sweeps.config.schema import GROUPS
from image_sweeps.fit.device import thread_pools
from image_sweeps.launch.lazy_modules import LAZY
from image_sweeps.tracking import figures
from image_sweeps.tracking.run import save_model

OURS = (*(f"image_sweeps.{group}" for group in GROUPS), "image_sweeps.fit", "image_sweeps.launch.attempt")
"""Packages, and modules, of which a cell may import anything."""


def imports() -> None:
    """Import what a cell would in its functions."""
    for ours in map(importlib.import_module, OURS):
        for module in pkgutil.walk_packages(getattr(ours, "__path__", ()), f"{ours.__name__}."):
            importlib.import_module(module.name)
    for name in LAZY:
        with suppress(ImportError):  # another version has it elsewhere: a cell finds it
            importlib.import_module(name)


def rehearsal() -> None:
    """Draw a figure, which loads the fonts, and package a network, which imports another 500 modules."""
    torch.set_num_threads(1)
    figure = Figure()
    figure.add_subplot(title="text")
    figures.picture(figure)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)).eval()
    example = np.zeros((2, 1, 4, 4), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        save_model(network, example, Path(folder) / "model")


imports()
with suppress(Exception):  # whatever goes wrong with it goes wrong in a cell too, and is told there
    rehearsal()
thread_pools()
gc.enable()
gc.freeze()  # a child's collector leaves alone, and so does not copy, what was there before it
signal.setitimer(signal.ITIMER_REAL, 0)
atexit.register(os._exit, 0)  # there is nothing to tidy up, and taking 5,000 modules down takes a second
