"""The environment variables that torchrun, or a scheduler that starts one process per device, sets for each process.

The names are torchrun's (https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables).
"""

import os
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class TorchrunEnv:
    """The place of this process among several that were started to train one cell.

    Attributes:
        rank: the rank among all processes, from 0.
        size: the number of processes on all machines.
        local_rank: the rank among the processes on this machine, from 0.
        local_size: the number of processes on this machine; 1 if it is not set: each process then has its own device.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int

    @classmethod
    def load(cls) -> Self | None:
        """Return the values in the environment, or None if this process was started by itself."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return None
        rank = int(os.environ.get("RANK", "0"))
        return cls(rank, size, int(os.environ.get("LOCAL_RANK", rank)), int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
