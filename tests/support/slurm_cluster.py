"""A SLURM of its own for the tests: real daemons, two nodes, ports and secrets that nobody else has."""

import os
import secrets
import shutil
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.support import waiting

TEMPLATE = Path(__file__).parent / "slurm.conf"
DAEMONS = ("munged", "slurmctld", "slurmd")
SYSTEM = "/usr/sbin:/usr/local/sbin:/sbin"
NODES = ("n1", "n2")
DEADLINE_S = 60


def why_not():
    """Why there can be no cluster here, or None."""
    if missing := [name for name in (*DAEMONS, "sbatch") if which(name) is None]:
        return f"{', '.join(missing)} not found: apt-get install munge slurmctld slurmd slurm-client"
    return None if os.getuid() == 0 else "only root can start SLURM's daemons"


def which(name):
    return shutil.which(name, path=f"{os.environ['PATH']}:{SYSTEM}")


def free_ports(count):
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


until = partial(waiting.until, deadline_s=DEADLINE_S)


class Cluster:
    """What a test does to it, with SLURM's own commands.

    Attributes:
        environment: that makes these commands find it.
    """

    def __init__(self, folder):
        self.folder = folder
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}

    def run(self, *command, **settings):
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **self.environment}, check=False, **settings
        )
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout

    def queue(self, *flags, fields="%F_%K %T %N"):
        return self.run("squeue", "--noheader", "--array", *flags, f"--format={fields}").splitlines()

    def clear(self):
        """Nothing is queued or running any more, and no job that is over is remembered by its old name."""
        self.run("scancel", "--signal=KILL", "--full", "--user=root")
        self.run("scancel", "--user=root")
        until(lambda: not self.queue(), "an empty queue")


@contextmanager
def cluster(folder):
    """One that runs, with both nodes idle, for as long as the block."""
    for name in ("state", *(f"spool/{node}" for node in NODES)):
        (folder / name).mkdir(parents=True)
    port, *node_ports = free_ports(3)
    filled = {"HOST": socket.gethostname(), "DIR": folder, "PORT": port, "PORT1": node_ports[0], "PORT2": node_ports[1]}
    text = TEMPLATE.read_text()
    for key, value in filled.items():
        text = text.replace(f"@{key}@", str(value))
    (folder / "slurm.conf").write_text(text)
    (folder / "munge.key").write_bytes(secrets.token_bytes(1024))
    (folder / "munge.key").chmod(0o400)
    files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    munged = ["munged", "--foreground", "--force", *(f"--{flag}={folder}/munge.{name}" for flag, name in files.items())]
    made = Cluster(folder)
    with ExitStack() as daemons:
        daemons.enter_context(daemon(munged, folder))
        until((folder / "munge.socket").exists, "munged")
        daemons.enter_context(daemon(["slurmctld", "-D", "-f", f"{folder}/slurm.conf"], folder))
        for node in NODES:
            daemons.enter_context(daemon(["slurmd", "-D", "-N", node, "-f", f"{folder}/slurm.conf"], folder))
        until(lambda: unsweepable(made), "two idle nodes")
        try:
            yield made
        finally:
            made.clear()


def unsweepable(made):
    done = subprocess.run(
        ["sinfo", "--noheader", "--Node", "--partition=main", "--format=%T"],
        capture_output=True,
        text=True,
        env={**os.environ, **made.environment},
        check=False,
    )
    return done.stdout.split() == ["idle"] * len(NODES)


@contextmanager
def daemon(command, folder):
    """It runs in the foreground, and ends with the block."""
    with (folder / f"{command[0]}.out").open("ab") as out:
        process = subprocess.Popen([which(command[0]), *command[1:]], stdout=out, stderr=out, cwd=folder)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
