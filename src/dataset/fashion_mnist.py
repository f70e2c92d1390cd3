"""Fashion-MNIST, through torchvision."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from src.dataset.source import DataError, Dataset, ImageSet, Splits

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class FashionMNIST(Dataset):
    """60,000 + 10,000 grey 28x28 images of clothing, 10 classes (Xiao, Rasul and Vollgraf, 2017, arXiv:1708.07747)."""

    name: ClassVar[str] = "fashion_mnist"
    origin: ClassVar[str] = "torchvision.datasets.FashionMNIST"
    class_names: ClassVar[tuple[str, ...]] = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )

    @property
    def folder(self) -> Path:
        return self.data_dir / "FashionMNIST" / "raw"

    def prepare(self) -> None:
        if self._missing():
            from torchvision.datasets import FashionMNIST as Source

            created = [path for path in (self.folder, *self.folder.parents[:2]) if not path.exists()]
            try:
                Source(self.data_dir, download=True)
            except (OSError, RuntimeError) as error:  # what torchvision raises without a network, or on a bad file
                for path in created:
                    with suppress(OSError):  # keep what was downloaded, leave no empty folders behind
                        path.rmdir()
                reason = " ".join(str(error).split())
                raise DataError(
                    f"dataset=fashion_mnist: looked for {', '.join(self._missing())} in {self.folder.resolve()} and "
                    f"could not download what is missing: {reason}\n"
                    "Either connect to the network and run again, or set data_dir=... (or DATA_DIR) to a folder "
                    "that holds FashionMNIST/raw/ with these files. dataset=digits needs no files."
                ) from None

    def _missing(self) -> list[str]:
        return [name for name in FILES if not (self.folder / name).is_file()]

    @cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for name in FILES:
            digest.update((self.folder / name).read_bytes())
        return digest.hexdigest()[:16]

    def load(self) -> Splits:
        train, val = self.split(self._part(train=True), self.val_fraction, "val_fraction")
        return Splits(train, val, self._part(train=False))

    def _part(self, *, train: bool) -> ImageSet:
        from torchvision.datasets import FashionMNIST as Source

        try:
            part = Source(self.data_dir, train=train)
        except (OSError, RuntimeError, ValueError, LookupError, AssertionError) as error:
            raise DataError(
                f"dataset=fashion_mnist: a file in {self.folder.resolve()} is damaged ({type(error).__name__}: "
                f"{error}). Delete the folder to download it afresh."
            ) from None
        if len(part.data) != len(part.targets):
            raise DataError(
                f"dataset=fashion_mnist: {self.folder.resolve()} has {len(part.data)} images and {len(part.targets)} "
                "labels of the same split. Delete the folder to download it afresh."
            )
        return ImageSet(self.resized(part.data[:, None]), part.targets)
