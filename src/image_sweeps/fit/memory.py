"""Messages for exhausted memory: every allocator reports it in its own way, and none says what can be done."""

import errno

import torch

ALLOCATORS = ("DefaultCPUAllocator", "CUDA out of memory", "MPS backend out of memory")
"""Texts that identify torch's out-of-memory errors that have no type of their own."""

HINT = (
    "Fewer cells at a time (hydra.launcher.slots=1) or a smaller dataset.memory_budget_mb need less, with the same "
    "results; a smaller batch_size needs less too."
)


def out_of_memory(error: BaseException) -> str | None:
    """Return a message with a remedy if `error` was caused by exhausted memory, else None."""
    cause: BaseException | None = error
    while cause is not None:
        if _is_of_memory(cause):
            first, *_ = str(cause).strip().splitlines() or [type(cause).__name__]
            what = first.partition("DefaultCPUAllocator: ")[2] or first  # drops a line of torch's source
            return f"out of memory: {what.rstrip('.')}. {HINT}"
        cause = cause.__cause__ or cause.__context__
    return None


def _is_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(name in str(error) for name in ALLOCATORS)
