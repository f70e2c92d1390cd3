"""What torchrun, or a scheduler that starts one process a device, says in the environment of each of them.

The names are torchrun's (https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables).
"""

import os
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class TorchrunEnv:
    """One of several processes that were started to train one cell.

    Attributes:
        rank: among all of them, from 0.
        size: how many there are, on all machines.
        local_rank: among those on this machine, from 0.
        local_size: how many there are on this machine; 1 where that is not said: then each was given a device itself.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int

    @classmethod
    def load(cls) -> Self | None:
        """What the environment says, or None where this process was started by itself."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return None
        rank = int(os.environ.get("RANK", "0"))
        return cls(rank, size, int(os.environ.get("LOCAL_RANK", rank)), int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
