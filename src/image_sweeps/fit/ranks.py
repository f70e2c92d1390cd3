"""The processes of a cell that trains on several devices: how they come together, and follow rank 0.

Rank 0 is the cell's own process, which is listened to, asked to stop, timed and recorded as that of any other cell. It
starts the others itself: torchrun's agent would stand between, take the signals, and start all of them again when one
fails. Where torchrun or a scheduler has started one process a device, those are taken.

Only rank 0 writes. What it tells the others is JSON, tensors and plain containers, so that hearing it runs no code.
"""

import os
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol

import torch
import torch.distributed as dist

from image_sweeps.config.schema import Config
from image_sweeps.fit import children
from image_sweeps.fit.assemble import assemble
from image_sweeps.fit.children import FAILED, SETTLED_S, leave_signals_to_rank_0
from image_sweeps.fit.device import choose, choose_nth, limit_threads, make_repeatable
from image_sweeps.fit.loop import NonFiniteLossError
from image_sweeps.fit.memory import out_of_memory
from image_sweeps.fit.parallel import SINGLE_PROCESS, STOP, World
from image_sweeps.fit.rank_store import RankStore
from image_sweeps.system.interrupt import Interrupted
from image_sweeps.system.torchrun import TorchrunEnv

TIMEOUT = timedelta(minutes=10)
"""A rank that the others have waited for so long hangs."""

POLL_S = 0.02
"""How often is looked whether the other ranks are ready."""


class RankError(Exception):
    """Another rank of the cell has failed, was killed, or hangs."""


class PeerRanks(Protocol):
    """The other ranks, as rank 0 sees them."""

    store: RankStore

    def lost(self, seconds: float) -> str | None:
        """Why one of them is no more, if one is so, or comes to be within this time."""

    def why(self, error: Exception) -> str:
        """The reason why rank 0 got `error` in place of an answer."""


@contextmanager
def together(config: Config, raw: Mapping[str, Any], timeout: timedelta = TIMEOUT) -> Iterator[World]:
    """Rank 0's world, for as long as the block runs: of `config.devices` processes, the others of which follow it.

    Args:
        config: the cell's.
        raw: the same as plain containers.
        timeout: after which a rank that does not answer hangs.

    Raises:
        RankError: where another rank has ended, or hangs.
    """
    size = config.devices
    if size == 1:
        yield SINGLE_PROCESS
        return
    launched = TorchrunEnv.load()
    with _launched(launched, timeout) if launched else children.started(size, timeout, follow) as others:
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
            _part()


def follow(store: RankStore, rank: int, local_rank: int, timeout: timedelta) -> None:
    """Be another rank than the first, from the beginning of the cell to its end. Ends the process on a failure (1)."""
    try:
        raw = store.wait_for_cell()
        leave_signals_to_rank_0()
        config = Config.checked(raw)
        if TorchrunEnv.load():
            limit_threads(config.threads)  # of ranks that torchrun has not started, rank 0 says it
        make_repeatable(config)
        place = choose_nth(config.device, local_rank)
        training = assemble(config, place).training(World(rank, store.size))
        store.publish_ready(rank)
        _join(store, rank, place, timeout)
        training.follow()
    except NonFiniteLossError:  # which rank 0 has met too
        pass
    except Exception as error:
        if not (dist.is_initialized() and _is_of_others(error)):
            _explain(store, rank, error)
        os._exit(FAILED)  # at once: what the others wait for will not come
    _part()


def _explain(store: RankStore, rank: int, error: Exception) -> None:
    """Say why this rank fails: in short to rank 0, and at length to whoever looks for more, where that helps."""
    explained = out_of_memory(error)
    if not explained:
        traceback.print_exception(error)
    store.publish_failure(rank, explained or f"{type(error).__name__}: {error}")


# --- the group of processes -------------------------------------------------------------------------------------------


def _wait_for(others: PeerRanks) -> None:
    """Come back when all ranks are about to join. Joining waits for one that never comes until its time is up."""
    while not others.store.all_ready:
        if reason := others.lost(POLL_S):
            raise RankError(reason)


def _join(store: RankStore, rank: int, place: torch.device, timeout: timedelta) -> None:
    backend = "cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store.store, rank=rank, world_size=store.size, timeout=timeout)


def _part() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _is_of_others(error: Exception) -> bool:
    """Whether an error came of what another process did, or did not do: gloo's says so, and NCCL's group is gone."""
    told = isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
    return told or not dist.is_initialized()


# --- ranks that torchrun has started ----------------------------------------------------------------------------------


class TorchrunRanks:
    """The other ranks, where torchrun has started all.

    Attributes:
        store: torchrun's.
    """

    def __init__(self, launched: TorchrunEnv, timeout: timedelta) -> None:
        from torch.distributed.rendezvous import rendezvous

        store, _, _ = next(rendezvous("env://", launched.rank, launched.size, timeout=timeout))
        self.store = RankStore(store, launched.size)

    def lost(self, seconds: float) -> str | None:
        """Why one of them fails, as far as it has said so by then. torchrun ends all others, too."""
        time.sleep(seconds)
        return next(filter(None, map(self.store.failure, range(1, self.store.size))), None)

    def why(self, error: Exception) -> str:
        """The reason why rank 0 got `error` in place of an answer."""
        short = str(error).partition("\n")[0]
        return self.lost(SETTLED_S) or f"another rank is gone or hangs ({short})"


@contextmanager
def _launched(launched: TorchrunEnv, timeout: timedelta) -> Iterator[TorchrunRanks]:
    yield TorchrunRanks(launched, timeout)


def follow_torchrun(launched: TorchrunEnv) -> None:
    """Be one of the ranks that torchrun has started and that are not the first, from the beginning to the end."""
    follow(TorchrunRanks(launched, TIMEOUT).store, launched.rank, launched.local_rank, TIMEOUT)
