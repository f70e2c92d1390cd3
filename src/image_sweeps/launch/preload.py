"""The imports and the rehearsal that the fork server runs once for all cells: its children start in milliseconds.

The server keeps a single thread, because a child gets only the thread that forked. It does not initialize CUDA, which
does not survive a fork either.
"""

import gc
import os
import signal

gc.disable()  # the imports below create no garbage, and looking for it takes a second

PARENT = os.getppid()
signal.signal(signal.SIGALRM, lambda *_: None if os.getppid() == PARENT else os._exit(0))
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)  # stops the imports below if the parent is gone

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"  # read at import; a child sets its own number
os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # no thread for pyarrow's allocator
os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # torch.cuda.is_available() must not initialize CUDA

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
from image_sweeps.tracking.cell_run import save_model

OURS = (*(f"image_sweeps.{group}" for group in GROUPS), "image_sweeps.fit", "image_sweeps.launch.attempt")
"""The packages and modules from which a cell may import anything."""


def imports() -> None:
    """Import the modules that a cell would import inside its functions."""
    for ours in map(importlib.import_module, OURS):
        for module in pkgutil.walk_packages(getattr(ours, "__path__", ()), f"{ours.__name__}."):
            importlib.import_module(module.name)
    for name in LAZY:
        with suppress(ImportError):  # another version may have moved it: then a cell imports it
            importlib.import_module(name)


def warm_up() -> None:
    """Draw a figure, which loads the fonts, and save a model, which imports another 500 modules."""
    torch.set_num_threads(1)
    figure = Figure()
    figure.add_subplot(title="text")
    figures.picture(figure)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)).eval()
    example = np.zeros((2, 1, 4, 4), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        save_model(network, example, Path(folder) / "model")


imports()
with suppress(Exception):  # any error here occurs in a cell too, and is reported there
    warm_up()
thread_pools()
gc.enable()
gc.freeze()  # the collector of a child skips these objects, and so does not copy them
signal.setitimer(signal.ITIMER_REAL, 0)
atexit.register(os._exit, 0)  # nothing needs cleanup, and unloading 5,000 modules takes a second
