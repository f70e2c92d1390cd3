"""The environment of a run: enough to repeat the run, or to explain why a repetition gave another result."""

import platform
from importlib.metadata import version

import torch

from image_sweeps.system.git import git_state

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
