"""scikit-learn's bundled handwritten digits."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch

from src.dataset.source import Dataset, Fraction, ImageSet, Splits


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
    def fingerprint(self) -> str:
        raw = self._raw()
        return hashlib.sha256(raw.images.tobytes() + raw.target.tobytes()).hexdigest()[:16]

    def load(self) -> Splits:
        raw = self._raw()
        grey = torch.from_numpy(raw.images).mul(255 / 16).round().to(torch.uint8)  # the pixels count 0 to 16
        whole = ImageSet(self.resized(grey[:, None]), torch.from_numpy(raw.target).to(torch.int64))
        rest, test = self.split(whole, self.test_fraction, "test_fraction")
        train, val = self.split(rest, self.val_fraction, "val_fraction")
        return Splits(train, val, test)

    def _raw(self) -> Any:
        from sklearn.datasets import load_digits

        return load_digits()
