"""A data set made for tests: small, colourful, with known pixels."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from image_sweeps.dataset import Dataset, Decoded, Index


@dataclass(frozen=True, kw_only=True)
class Made(Dataset):
    """`labels` and `roles` as given; the pixels of image i are drawn with seed i. Images in `bad` cannot be decoded."""

    labels: Sequence[int]
    roles: Sequence[int] = ()
    bad: Sequence[int] = ()
    test_fraction: float | None = 0.2
    decodings: list[int] = field(default_factory=list)

    name = "made"
    origin = "made for tests"

    @property
    def class_names(self):
        return [f"class {k}" for k in range(max(self.labels) + 1)]

    @property
    def fingerprint(self):
        return "0123456789abcdef"

    def index(self):
        roles = self.roles or [0] * len(self.labels)
        return Index(np.array(self.labels, dtype=np.int64), np.array(roles, dtype=np.uint8))

    def pixels(self, position):
        return np.random.default_rng(position).integers(0, 256, self.shape, dtype=np.uint8)

    def decode(self):
        self.decodings.append(1)
        for start in range(0, len(self.labels), 7):
            kept = [p for p in range(start, min(start + 7, len(self.labels))) if p not in self.bad]
            images = np.stack([self.pixels(p) for p in kept]) if kept else np.empty((0, *self.shape), np.uint8)
            yield Decoded(np.array(kept, dtype=np.int64), images)


SETTINGS = {
    "image_size": 4,
    "channels": 3,
    "normalize": "none",
    "val_fraction": 0.25,
    "folds": 1,
    "fold": 0,
    "split_seed": 0,
    "memory_budget_mb": 100,
    "train_fraction": 1.0,
    "num_workers": 0,
}
"""What every data set of the tests is made with, unless a test says otherwise."""


def made(tmp_path, **settings):
    return Made(tmp_path, **{**SETTINGS, "labels": [n % 2 for n in range(40)], **settings})
