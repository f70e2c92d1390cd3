"""CIFAR-10, through torchvision."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from image_sweeps.dataset.published import Half, Published


@dataclass(frozen=True)
class CIFAR10(Published):
    """50,000 + 10,000 colour 32x32 images, 10 classes (Krizhevsky, 2009).

    Its files are pickles; torchvision opens them only if their MD5 sums are the published ones.
    """

    name: ClassVar[str] = "cifar10"
    origin: ClassVar[str] = "torchvision.datasets.CIFAR10"
    torchvision_name: ClassVar[str] = "CIFAR10"
    class_names: ClassVar[tuple[str, ...]] = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )
    files: ClassVar[tuple[str, ...]] = (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta")

    @property
    def folder(self) -> Path:
        return self.data_dir / "cifar-10-batches-py"

    def half(self, source: Any) -> Half:
        return Half(torch.from_numpy(source.data).permute(0, 3, 1, 2), torch.tensor(source.targets))
