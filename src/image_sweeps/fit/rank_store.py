"""The messages that ranks exchange through a shared store, before and after they can use collective operations.

The store is a file in a folder that no other user can enter, or the store of torchrun. It holds text, and runs no code.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch.distributed as dist

if TYPE_CHECKING:  # a build of torch without torch.distributed can still train on one device
    from torch._C._distributed_c10d import Store

UNTIL_BEGUN = timedelta(days=7)
"""The longest time that other ranks wait for rank 0, which may have to download and decode. They end with rank 0."""

CELL = "cell"


class RankStore:
    """The messages of the ranks of one cell.

    Args:
        store: the store that all ranks share.
        size: the number of ranks.
    """

    def __init__(self, store: "Store", size: int) -> None:
        self.store, self.size = store, size

    @classmethod
    def at(cls, path: Path, size: int) -> "RankStore":
        """Return a store that is kept in the file at `path`."""
        return cls(dist.FileStore(str(path), size), size)  # type: ignore[attr-defined]

    def publish_cell(self, raw: Mapping[str, Any]) -> None:
        """Publish the configuration, as rank 0. This tells the other ranks that the data set is there."""
        self.store.set(CELL, json.dumps(raw))

    def wait_for_cell(self) -> Any:
        """Wait until rank 0 has published the configuration, and return it."""
        self.store.wait([CELL], UNTIL_BEGUN)
        return json.loads(self.store.get(CELL))

    def publish_ready(self, rank: int) -> None:
        """Publish that this rank is about to join the process group."""
        self.store.set(f"ready/{rank}", "")

    @property
    def all_ready(self) -> bool:
        """Whether all ranks other than 0 are about to join the process group."""
        return self.store.check([f"ready/{rank}" for rank in range(1, self.size)])

    def publish_failure(self, rank: int, reason: str) -> None:
        """Publish why this rank fails."""
        self.store.set(f"failure/{rank}", reason)

    def failure(self, rank: int) -> str | None:
        """Return why the rank fails, if it has published that, else None."""
        if not self.store.check([f"failure/{rank}"]):
            return None
        return f"rank {rank} failed. {self.store.get(f'failure/{rank}').decode()}"
