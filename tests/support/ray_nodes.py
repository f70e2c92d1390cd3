"""A Ray cluster of several nodes on this host, for the tests, and the processes below it."""

import os
import signal
import subprocess
from contextlib import suppress
from functools import partial
from pathlib import Path

from tests.support import waiting

NUM_NODES = 2
DEADLINE_S = 180


until = partial(waiting.until, deadline_s=DEADLINE_S)


class Nodes:
    """A cluster of a head without CPUs and two nodes of one CPU each.

    Attributes:
        address: of the cluster.
        nodes: those with a CPU that live.
    """

    def __init__(self):
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self.address = self.cluster.address
        self.nodes = []
        self.complete()

    def complete(self):
        """Start those that are missing."""
        while len(self.nodes) < NUM_NODES:
            self.nodes.append(self.cluster.add_node(num_cpus=1))

    def num_living(self):
        """How many nodes the cluster has, the head and those that nobody has told it of among them."""
        return len(self.cluster.global_state._live_node_ids())

    def kill(self, node):
        """All at once, as where a machine loses its power."""
        self.nodes.remove(node)
        pids = [info.process.pid for infos in node.all_processes.values() for info in infos]
        pids += [child for pid in pids for child in below(pid)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def cells(self):
        """The processes of cells, and their fork servers."""
        found = [pid for node in self.nodes for info in node.all_processes["raylet"] for pid in below(info.process.pid)]
        return [pid for pid in found if b"forkserver" in command_of(pid)]


def command_of(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def below(pid):
    """All processes that `pid` has started, and theirs."""
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [each for child in map(int, done.stdout.split()) for each in (child, *below(child))]


def alive(pid):
    """Whether there is such a process that is no zombie."""
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(found) and not found.startswith("Z")


def marked(mark):
    """The processes that were born with MARK=`mark` in their environment, but zombies."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"MARK={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder.name, (folder / "cmdline").read_bytes()[:100]))
    return found
