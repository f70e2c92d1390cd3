"""Work that several ranks do together, each in a process of its own, forked from a server that has imported torch."""

import os
import tempfile
from itertools import islice
from pathlib import Path

import torch
import torch.distributed as dist

from image_sweeps.fit.parallel import STOP, World
from image_sweeps.launch import fork_server as server
from tests.support.training import measured, training


def in_ranks(size, work, *arguments):
    """What `work(world, *arguments)` gives in each rank, in their order."""
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            server.CONTEXT.Process(target=_rank, args=(rank, size, Path(folder), work, arguments))
            for rank in range(size)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * size
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=False) for rank in range(size)]


def _rank(rank, size, folder, work, arguments):
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", store=dist.FileStore(str(folder / "store"), size), rank=rank, world_size=size)
    torch.save(work(World(rank, size), *arguments), folder / f"{rank}.pt")
    dist.destroy_process_group()


def train(world, overrides, num_epochs=99, state=None):
    """Train a cell, or go on with it from `state`, which rank 0 alone has, for so many epochs at most.

    Returns: what the epochs measured, and the state of this rank.
    """
    subject = training(*overrides, world=world)
    if world.rank:
        subject.train_as_other_rank()
        return [], subject.state_dict()
    if state is not None:
        subject.load_state_dict(state)
    epochs = [measured(epoch) for epoch in islice(subject.epochs(), num_epochs)]
    world.broadcast(STOP)
    return epochs, subject.state_dict()


def train_each(world, settings):
    """Train one cell after the other."""
    return [train(world, overrides) for overrides in settings]
