"""The processes of a cell that trains on several devices: how they form a group and follow rank 0.

Rank 0 is the process of the cell: its listener, stop requests, timing and records work as in any other cell. Rank 0
starts the other ranks itself, because torchrun's agent would stand between, take the signals, and restart all ranks
when one fails. If torchrun or a scheduler has started one process per device, these processes are used.

Only rank 0 writes checkpoints and records. It sends the other ranks JSON, tensors and plain containers, so that
receiving them runs no code.
"""

import os
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from image_sweeps.config.schema import Config
from image_sweeps.fit.assemble import assemble
from image_sweeps.fit.children import FAILED, SETTLED_S, SpawnedRanks, leave_signals_to_rank_0, spawned_ranks
from image_sweeps.fit.device import choose, choose_nth, limit_threads, make_repeatable
from image_sweeps.fit.loop import NonFiniteLossError
from image_sweeps.fit.memory import out_of_memory
from image_sweeps.fit.parallel import SINGLE_PROCESS, STOP, World
from image_sweeps.fit.rank_store import RankStore
from image_sweeps.system.interrupt import Interrupted
from image_sweeps.system.torchrun import TorchrunEnv

TIMEOUT = timedelta(minutes=10)
"""The time after which a rank that the others wait for counts as hung."""

POLL_S = 0.02
"""The time between two checks whether the other ranks are ready, in seconds."""


class RankError(Exception):
    """Another rank of the cell has failed, was killed or hangs."""


@contextmanager
def process_group(config: Config, raw: Mapping[str, Any], timeout: timedelta = TIMEOUT) -> Iterator[World]:
    """Yield the world of rank 0. During the block, the other ones of the `config.devices` processes follow rank 0.

    Args:
        config: the configuration of the cell.
        raw: the same configuration as plain containers.
        timeout: the time after which a rank that does not answer counts as hung.

    Raises:
        RankError: if another rank has ended or hangs.
    """
    size = config.devices
    if size == 1:
        yield SINGLE_PROCESS
        return
    launched = TorchrunEnv.load()
    ranks = nullcontext(TorchrunRanks(launched, timeout)) if launched else spawned_ranks(size, timeout, follow)
    with ranks as others:
        others.store.publish_cell(raw)
        _wait_for(others)
        try:
            _join(others.store, 0, choose(config.device), timeout)
            world = World(0, size)
            yield world
            world.broadcast(STOP)
        except Interrupted:
            world.broadcast(STOP)
            raise
        except Exception as error:
            if not _is_of_others(error):
                raise
            raise RankError(others.why(error)) from error
        finally:
            _leave_group()


def follow(store: RankStore, rank: int, local_rank: int, timeout: timedelta) -> None:
    """Run a rank other than 0, from the start of the cell to its end. A failure ends the process with exit code 1."""
    try:
        raw = store.wait_for_cell()
        leave_signals_to_rank_0()
        config = Config.checked(raw)
        if TorchrunEnv.load():
            limit_threads(config.threads)  # rank 0 sets those of the ranks that it starts
        make_repeatable(config)
        place = choose_nth(config.device, local_rank)
        training = assemble(config, place).training(World(rank, store.size))
        store.publish_ready(rank)
        _join(store, rank, place, timeout)
        training.train_as_other_rank()
    except NonFiniteLossError:  # rank 0 has the same error
        pass
    except Exception as error:
        if not (dist.is_initialized() and _is_of_others(error)):
            _explain(store, rank, error)
        os._exit(FAILED)  # at once, because the others wait for this rank in vain
    _leave_group()


def _explain(store: RankStore, rank: int, error: Exception) -> None:
    """Report why this rank fails: briefly to rank 0, and with a traceback on stderr unless memory ran out."""
    explained = out_of_memory(error)
    if not explained:
        traceback.print_exception(error)
    store.publish_failure(rank, explained or f"{type(error).__name__}: {error}")


# --- the group of processes -------------------------------------------------------------------------------------------


def _wait_for(others: "SpawnedRanks | TorchrunRanks") -> None:
    """Wait until all ranks are ready to join. Joining at once would wait for a failed rank until the timeout."""
    while not others.store.all_ready:
        if reason := others.lost(POLL_S):
            raise RankError(reason)


def _join(store: RankStore, rank: int, place: torch.device, timeout: timedelta) -> None:
    backend = "cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store.store, rank=rank, world_size=store.size, timeout=timeout)


def _leave_group() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _is_of_others(error: Exception) -> bool:
    """Return whether another process caused the error: gloo's errors say so, and after NCCL's the group is gone."""
    told = isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
    return told or not dist.is_initialized()


# --- ranks that torchrun has started ----------------------------------------------------------------------------------


class TorchrunRanks:
    """The other ranks, if torchrun has started all ranks.

    Attributes:
        store: the store of torchrun.
    """

    def __init__(self, launched: TorchrunEnv, timeout: timedelta) -> None:
        from torch.distributed.rendezvous import rendezvous

        store, _, _ = next(rendezvous("env://", launched.rank, launched.size, timeout=timeout))
        self.store = RankStore(store, launched.size)

    def lost(self, seconds: float) -> str | None:
        """Wait `seconds` and return why a rank fails, if one has published it. torchrun itself ends the other ranks."""
        time.sleep(seconds)
        return next(filter(None, map(self.store.failure, range(1, self.store.size))), None)

    def why(self, error: Exception) -> str:
        """Return which failure of the other ranks caused `error` in rank 0."""
        short = str(error).partition("\n")[0]
        return self.lost(SETTLED_S) or f"another rank is gone or hangs ({short})"


def follow_torchrun(launched: TorchrunEnv) -> None:
    """Run a rank other than 0 that torchrun has started, from the start of the cell to its end."""
    follow(TorchrunRanks(launched, TIMEOUT).store, launched.rank, launched.local_rank, TIMEOUT)
