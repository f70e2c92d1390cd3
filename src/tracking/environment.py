"""What a run was made with: enough to make it again, or to say why that gave something else."""

import getpass
import os
import platform
import subprocess
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import torch
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE, MLFLOW_USER

PACKAGES = ("torchvision", "hydra-core", "omegaconf", "mlflow", "numpy", "scikit-learn", "pillow")
ROOT = Path(__file__).parent.parent.parent


def environment(device: torch.device) -> dict[str, str]:
    """Names and versions of everything below the project's own code."""
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


@lru_cache(maxsize=1)  # what was imported is what counts, not what the checkout becomes meanwhile
def git_state() -> dict[str, str]:
    """`git.commit` and `git.dirty` of the project's checkout; empty where it is none."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"git.commit": git("rev-parse", "HEAD"), "git.dirty": str(bool(git("status", "--porcelain"))).lower()}
    except (OSError, subprocess.CalledProcessError):
        return {}


def origin() -> dict[str, str]:
    """Who started what, in our tags and in those that MLflow's page shows.

    MLflow would add the address of the repository by itself, and with that perhaps the password in it.
    """
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # in a container a user need not have a name
        user = str(os.getuid())
    git = git_state()
    commit = {MLFLOW_GIT_COMMIT: git["git.commit"]} if git else {}
    return {MLFLOW_USER: user, MLFLOW_SOURCE_NAME: "src.train", MLFLOW_SOURCE_TYPE: "LOCAL", **commit, **git}
