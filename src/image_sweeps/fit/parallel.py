"""One cell over several devices: every rank computes its share of each batch, and what they computed is added up.

This is data parallelism (Li et al., 2020, "PyTorch Distributed", arXiv:2006.15704) with sums in place of means, so that
shares of any size count by their images, and with one sum of all gradients after the backward pass in place of
`DistributedDataParallel`: that regroups the gradients after its first step, by the order in which they came, and with
three ranks or more the order of a sum decides its last bit. A cell that went on from a checkpoint would not be, bit for
bit, one that was never stopped. What is lost is the overlap of that one sum with the backward pass.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

STOP = 0
"""In place of an epoch's number: there is none to come."""


@dataclass(frozen=True)
class World:
    """The processes that train a cell together, as one of them sees it. A world of one does nothing, at no cost.

    Attributes:
        rank: of this process, from 0. Rank 0 alone keeps and records what was learned.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    def share(self, batch: Tensor) -> Tensor:
        """The rows of a batch that are this rank's: as many as others have, or one less; of too few, none."""
        return batch if self.size == 1 else batch.tensor_split(self.size)[self.rank]

    def sum(self, tensor: Tensor) -> Tensor:
        """Add up what every rank has in `tensor`, in place: afterwards all have the same bits."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up the gradients of all ranks, in the order of the parameters."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        summed = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, torch.split(summed, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view(gradient.shape))

    def barrier(self) -> None:
        """Wait for all ranks.

        A sum on GPUs that was cut short, because a rank is gone, gives rubbish in place of an error. This one is taken
        on the CPU and does fail: what was computed before all have met can be trusted.
        """
        self.sum(torch.zeros(()))

    def broadcast(self, number: int) -> None:
        """Rank 0 tells all others which epoch comes next, or that it is over."""
        if self.size > 1:
            dist.broadcast(torch.tensor(number), src=0)

    def receive(self) -> int:
        """The number that rank 0 tells."""
        number = torch.zeros((), dtype=torch.int64)
        dist.broadcast(number, src=0)
        return int(number)

    def broadcast_state(self, state: dict[str, Any]) -> None:
        """Rank 0 gives all others `state`: tensors and plain containers."""
        if self.size == 1:
            return
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8)
        self.broadcast(len(content))
        dist.broadcast(content, src=0)

    def receive_state(self) -> dict[str, Any] | None:
        """What rank 0 gave, on the CPU; None where it says that it is over instead."""
        if (num_bytes := self.receive()) == STOP:
            return None
        content = torch.empty(num_bytes, dtype=torch.uint8)
        dist.broadcast(content, src=0)
        state: dict[str, Any] = torch.load(io.BytesIO(content.numpy().tobytes()), map_location="cpu", weights_only=True)
        return state


SINGLE_PROCESS = World()
