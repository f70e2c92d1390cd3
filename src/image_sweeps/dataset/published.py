"""Data sets with a published test split that torchvision downloads and reads."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from image_sweeps.dataset.source import DataError, Dataset, Decoded, Index, Role

CHUNK = 4096
"""The largest number of images that are resized at a time; more would only take more memory."""


class Half(NamedTuple):
    """The training or test images of torchvision, uint8, n x C x h x w, and their labels, int64, n."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Published(Dataset):
    """A data set of torchvision, found in data_dir or downloaded into it at first use."""

    files: ClassVar[tuple[str, ...]]
    torchvision_name: ClassVar[str]

    @property
    @abstractmethod
    def folder(self) -> Path:
        """The folder of the files, below data_dir."""

    @abstractmethod
    def half(self, source: Any) -> Half:
        """Return the images and labels of torchvision's data set `source`."""

    def prepare(self) -> None:
        if not self._missing():
            return
        created = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        try:
            self._torchvision(self.data_dir, download=True)
        except (OSError, RuntimeError) as error:  # raised by torchvision without a network, or on a bad file
            for path in created:
                with suppress(OSError):  # keep what was downloaded, leave no empty folders behind
                    path.rmdir()
            reason = " ".join(str(error).split())
            raise DataError(
                f"dataset={self.name}: looked for {', '.join(self._missing())} in {self.folder.resolve()} and could "
                f"not download what is missing: {reason}\n"
                "Either connect to the network and run again, or set data_dir=... (or DATA_DIR) to a folder that holds "
                f"{self.folder.relative_to(self.data_dir)}/ with these files. dataset=digits needs no files."
            ) from None

    @cached_property
    def fingerprint(self) -> str:
        digest = sha256()
        for name in self.files:
            digest.update((self.folder / name).read_bytes())
        return digest.hexdigest()[:16]

    def index(self) -> Index:
        labels = [half.labels.numpy() for half in self._halves]
        roles = [np.full(len(part), role, np.uint8) for part, role in zip(labels, (Role.TRAIN, Role.TEST), strict=True)]
        return Index(np.concatenate(labels), np.concatenate(roles))

    def decode(self) -> Iterator[Decoded]:
        position = 0
        for half in self._halves:
            for images in torch.split(half.images, self.at_once(CHUNK)):
                yield Decoded(np.arange(position, position + len(images)), self.resized(images))
                position += len(images)

    @cached_property
    def _halves(self) -> tuple[Half, Half]:
        try:
            halves = [self.half(self._torchvision(self.data_dir, train=train)) for train in (True, False)]
        except (OSError, RuntimeError, ValueError, LookupError, AssertionError) as error:
            raise DataError(
                f"dataset={self.name}: a file in {self.folder.resolve()} is damaged ({type(error).__name__}: {error}). "
                "Delete the folder to download it afresh."
            ) from None
        for half in halves:
            self._refuse_unlike(half)
        return halves[0], halves[1]

    def _refuse_unlike(self, half: Half) -> None:
        labels_ok = len(half.labels) and 0 <= int(half.labels.min()) <= int(half.labels.max()) < len(self.class_names)
        if len(half.images) != len(half.labels) or not labels_ok:
            raise DataError(
                f"dataset={self.name}: {self.folder.resolve()} has {len(half.images)} images and {len(half.labels)} "
                f"labels of the same split, or labels beyond the {len(self.class_names)} classes. "
                "Delete the folder to download it afresh."
            )

    def _missing(self) -> list[str]:
        return [name for name in self.files if not (self.folder / name).is_file()]

    @property
    def _torchvision(self) -> Any:
        import torchvision

        return getattr(torchvision.datasets, self.torchvision_name)
