"""MNIST, through torchvision."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from image_sweeps.dataset.published import Half, Published


@dataclass(frozen=True)
class MNIST(Published):
    """60,000 + 10,000 grey 28x28 handwritten digits, 10 classes (LeCun et al., 1998)."""

    name: ClassVar[str] = "mnist"
    origin: ClassVar[str] = "torchvision.datasets.MNIST"
    torchvision_name: ClassVar[str] = "MNIST"
    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")
    files: ClassVar[tuple[str, ...]] = tuple(
        f"{half}-{kind}-ubyte" for half in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
    )

    @property
    def folder(self) -> Path:
        return self.data_dir / self.torchvision_name / "raw"

    def half(self, source: Any) -> Half:
        return Half(source.data[:, None], source.targets)
