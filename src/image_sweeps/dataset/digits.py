"""scikit-learn's bundled handwritten digits."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch

from image_sweeps.dataset.source import Dataset, Decoded, Fraction, Index


@dataclass(frozen=True, kw_only=True)
class Digits(Dataset):
    """1,797 grey 8x8 images, 10 classes (Alpaydin and Kaynak, 1998), the test part of UCI's optical digits.

    Args:
        test_fraction: the share of the images that is held out for the test, stratified by class, drawn by split_seed.
    """

    test_fraction: Fraction

    name: ClassVar[str] = "digits"
    origin: ClassVar[str] = "sklearn.datasets.load_digits"
    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")

    @cached_property
    def _raw(self) -> Any:
        from sklearn.datasets import load_digits

        return load_digits()

    @cached_property
    def fingerprint(self) -> str:
        return hashlib.sha256(self._raw.images.tobytes() + self._raw.target.tobytes()).hexdigest()[:16]

    def index(self) -> Index:
        labels = self._raw.target.astype(np.int64)
        return Index(labels, np.zeros(len(labels), dtype=np.uint8))

    def decode(self) -> Iterator[Decoded]:
        grey = (self._raw.images * (255 / 16)).round().astype(np.uint8)  # the pixels have values from 0 to 16
        step = self.at_once(len(grey))
        for start in range(0, len(grey), step):
            part = grey[start : start + step, None]
            yield Decoded(np.arange(start, start + len(part)), self.resized(torch.from_numpy(part)))
