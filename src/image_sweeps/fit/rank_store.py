"""What the ranks of a cell say to each other before, and after, they can compute together: by keys of a shared store.

It is a file in a folder that nobody else can enter, or torchrun's. What is in it is text, and runs no code.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch.distributed as dist

if TYPE_CHECKING:  # a build of torch may have no torch.distributed, and trains on one device all the same
    from torch._C._distributed_c10d import Store

UNTIL_BEGUN = timedelta(days=7)
"""So long other ranks wait for rank 0 at most, which may have to download and decode. They end when it does."""

CELL = "cell"


class RankStore:
    """The words that are used.

    Args:
        store: which all ranks have.
        size: how many they are.
    """

    def __init__(self, store: "Store", size: int) -> None:
        self.store, self.size = store, size

    @classmethod
    def at(cls, path: Path, size: int) -> "RankStore":
        """Kept in the file at `path`."""
        return cls(dist.FileStore(str(path), size), size)  # type: ignore[attr-defined]

    def publish_cell(self, raw: Mapping[str, Any]) -> None:
        """Rank 0 says what is to be trained, and so that it has begun: the data set is there."""
        self.store.set(CELL, json.dumps(raw))

    def wait_for_cell(self) -> Any:
        """The configuration, as soon as rank 0 has said it."""
        self.store.wait([CELL], UNTIL_BEGUN)
        return json.loads(self.store.get(CELL))

    def publish_ready(self, rank: int) -> None:
        """A rank says that it is about to join the others."""
        self.store.set(f"ready/{rank}", "")

    @property
    def all_ready(self) -> bool:
        """Whether all have said so."""
        return self.store.check([f"ready/{rank}" for rank in range(1, self.size)])

    def publish_failure(self, rank: int, reason: str) -> None:
        """A rank says why it fails."""
        self.store.set(f"failure/{rank}", reason)

    def failure(self, rank: int) -> str | None:
        """What it said, if it did."""
        if not self.store.check([f"failure/{rank}"]):
            return None
        return f"rank {rank} failed. {self.store.get(f'failure/{rank}').decode()}"
