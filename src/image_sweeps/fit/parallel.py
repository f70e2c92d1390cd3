"""The training of one cell on several devices: every rank computes its share of each batch, and the shares are summed.

This is data parallelism (Li et al., 2020, "PyTorch Distributed", arXiv:2006.15704) with two changes. Sums replace
means, so that shares of any size count by their images. One sum of all gradients after the backward pass replaces
`DistributedDataParallel`, which regroups the gradients after its first step by the order in which they came. With three
ranks or more, the order of a sum decides its last bit: a cell continued from a checkpoint would not equal, bit for bit,
a cell that was never stopped. The cost is that the sum does not overlap with the backward pass.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

STOP = 0
"""The number that rank 0 broadcasts instead of an epoch when no epoch is left."""


@dataclass(frozen=True)
class World:
    """The processes that train a cell together, as one of them sees them. A world of size 1 communicates nothing.

    Attributes:
        rank: the rank of this process, from 0. Only rank 0 keeps and records what was learned.
        size: the number of processes.
    """

    rank: int = 0
    size: int = 1

    def share(self, batch: Tensor) -> Tensor:
        """Return this rank's rows of a batch: as many as other ranks have, or one less; none if there are too few."""
        return batch if self.size == 1 else batch.tensor_split(self.size)[self.rank]

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum `tensor` over all ranks in place, and return it. All ranks get the same bits."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum the gradients over all ranks in place, in the order of the parameters."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        summed = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, torch.split(summed, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view(gradient.shape))

    def barrier(self) -> None:
        """Wait for all ranks.

        A sum on GPUs that is cut short because a rank is gone gives garbage instead of an error. The sum here is taken
        on the CPU and does fail, so that results computed before all ranks have met can be trusted.
        """
        self.sum(torch.zeros(()))

    def broadcast(self, number: int) -> None:
        """Send `number` from rank 0 to all other ranks: the next epoch, a size in bytes, or STOP."""
        if self.size > 1:
            dist.broadcast(torch.tensor(number), src=0)

    def receive(self) -> int:
        """Return the number that rank 0 sends."""
        number = torch.zeros((), dtype=torch.int64)
        dist.broadcast(number, src=0)
        return int(number)

    def broadcast_state(self, state: dict[str, Any]) -> None:
        """Send `state`, which consists of tensors and plain containers, from rank 0 to all other ranks."""
        if self.size == 1:
            return
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8)
        self.broadcast(len(content))
        dist.broadcast(content, src=0)

    def receive_state(self) -> dict[str, Any] | None:
        """Return the state that rank 0 sends, on the CPU, or None if rank 0 sends STOP instead."""
        if (num_bytes := self.receive()) == STOP:
            return None
        content = torch.empty(num_bytes, dtype=torch.uint8)
        dist.broadcast(content, src=0)
        state: dict[str, Any] = torch.load(io.BytesIO(content.numpy().tobytes()), map_location="cpu", weights_only=True)
        return state


SINGLE_PROCESS = World()
