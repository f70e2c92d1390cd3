"""The private function of `torch.distributed` that the package calls: seen in torch 2.6 to 2.15."""

import torch.distributed as dist


def abort_process_group() -> None:
    """Abort the NCCL operations of this process, which would otherwise wait for a rank that is gone."""
    dist.distributed_c10d._abort_process_group()
