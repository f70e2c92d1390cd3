"""What is used of torch's inside, in one place: seen in torch 2.6 to 2.15."""

import torch.distributed as dist


def abort_process_group() -> None:
    """Let NCCL give up what it waits for, where a rank is gone that would have to take part."""
    dist.distributed_c10d._abort_process_group()
