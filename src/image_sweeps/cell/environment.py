"""The environment of a run: enough to repeat the run, or to explain why a repetition gave another result."""

import platform
import subprocess
from functools import lru_cache
from importlib.metadata import version

import torch

from image_sweeps.system.home import CHECKOUT

PACKAGES = ("torchvision", "hydra-core", "omegaconf", "mlflow", "numpy", "scikit-learn", "pillow")


def environment(device: torch.device) -> dict[str, str]:
    """Return names and versions of the device, the platform, the packages and the code."""
    accelerator = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": str(device),
        "device_name": platform.processor() or platform.machine() if device.type == "cpu" else accelerator,
        "threads": str(torch.get_num_threads()),
        "torch": str(torch.__version__),  # with the build, which the package's metadata leaves out
        **{name: version(name) for name in PACKAGES},
        **git_state(),
    }


@lru_cache(maxsize=1)  # the imported code counts, not later changes of the checkout
def git_state() -> dict[str, str]:
    """Return `git.commit` and `git.dirty` of the project's checkout; empty if there is no checkout or no git."""
    if CHECKOUT is None:
        return {}

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return {"git.commit": git("rev-parse", "HEAD"), "git.dirty": str(bool(git("status", "--porcelain"))).lower()}
    except (OSError, subprocess.CalledProcessError):
        return {}
