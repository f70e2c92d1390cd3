"""The Ray cluster: functions that connect to it or start it, check its nodes, and define the task of a cell."""

import math
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from image_sweeps.cell.saved_plan import PACKAGES
from image_sweeps.config.options import LAUNCHER
from image_sweeps.config.problems import MAX_LISTED, ConfigError, listed
from image_sweeps.launch.ray import node_functions
from image_sweeps.launch.ray.internals import address_of
from image_sweeps.launch.ray.messages import Connected, Setup
from image_sweeps.launch.ray.options import Init
from image_sweeps.system.home import PACKAGE

ray.cloudpickle.register_pickle_by_value(node_functions)


ANSWER_S = 5.0
"""The seconds that a machine may take to accept a connection."""

CHECK_S = 120.0
"""The seconds that a node may take to check itself; it starts a Python process first."""

Task = Callable[[str], Any]


def connect(setup: Setup) -> tuple[Connected, Task]:
    """Connect to the cluster or start it. Return its properties and the function that submits a cell's task.

    Raises:
        ConfigError: if there is no such cluster, or its nodes cannot run the cells.
    """
    options = setup.options.ray
    _init(options.init)
    nodes = [found for found in ray.nodes() if found["Alive"]]
    num_gpus = num_gpus_of(setup, nodes)
    asked = options.remote.resources_of_node(num_gpus)
    task = _task(setup, num_gpus)
    able = [found for found in nodes if num_slots_of(found["Resources"], asked)]
    if not able and not setup.options.autoscaling:
        raise ConfigError([_no_room(nodes, asked)])
    if problems := _inspect(able, setup):
        raise ConfigError(problems)
    return Connected(sum(num_slots_of(found["Resources"], asked) for found in able)), task


def disconnect() -> None:
    """Disconnect from the cluster; a cluster that was started here ends."""
    ray.shutdown()


def _init(init: Init) -> None:
    if not init.starts_one:
        _require_reachable(init)
    try:
        ray.init(**init.arguments, log_to_driver=False, logging_level="ERROR")
    except (Exception, SystemExit) as error:
        told = "no cluster of Ray's answers there" if isinstance(error, SystemExit) else _first_lines(str(error))
        cause = str(error.__cause__ or "").strip().splitlines()[-1:]  # the line after its traceback
        why = ". ".join([told, *cause])
        raise ConfigError([f"{LAUNCHER}.ray.init, with address = {init.address!r}: {why}"]) from None


def _require_reachable(init: Init) -> None:
    """Check that something listens at the address: Ray takes two minutes to find out.

    Raises:
        ConfigError: if nothing listens there.
    """
    key = f"{LAUNCHER}.ray.init.address = {init.address!r}"
    next_step = "`ray start --head` starts a cluster, and says what its address is; local starts one for the sweep"
    try:
        address = address_of(init.address)
        host, port = address.rsplit(":", 1)
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except ConnectionRefusedError:
        raise ConfigError([f"{key}: no cluster is there, at {address}; {next_step}"]) from None
    except ConnectionError:  # raised by Ray, for auto
        raise ConfigError([f"{key}: no cluster runs on this machine; {next_step}"]) from None
    except ValueError:
        raise ConfigError([f"{key}: must be host:port, auto or local"]) from None
    except OSError as error:
        raise ConfigError([f"{key}: cannot be reached ({error.strerror or error}); {next_step}"]) from None


def num_gpus_of(setup: Setup, nodes: Sequence[Mapping[str, Any]]) -> float:
    """Return the GPUs of one cell: as requested, else 1 or 0 by `wants_gpu`; if that is None, 1 if there are any."""
    asked = setup.options.ray.remote.num_gpus
    if asked is not None:
        return asked
    there = any(found["Resources"].get("GPU") for found in nodes)
    return float(there if setup.wants_gpu is None else setup.wants_gpu)


def _task(setup: Setup, num_gpus: float) -> Task:
    """Return the function that submits the task of the cell in a folder."""
    asked = setup.options.ray.remote
    try:
        remote = ray.remote(
            **asked.arguments(num_gpus),
            max_retries=0,  # the driver decides by the cause whether to run it again
            max_calls=0,  # else a worker ends after each cell with a GPU, which it never uses itself
            name="cell",
        )(node_functions.call)
    except (ValueError, TypeError) as error:
        raise ConfigError([f"{LAUNCHER}.ray.remote: {_first_lines(str(error))}"]) from None
    gives_gpu = num_gpus > 0
    fixed = (str(PACKAGE.parent), str(Path.cwd()), "attempt")
    return lambda folder: remote.remote(*fixed, folder, asked.num_threads, gives_gpu, setup.work)


def num_slots_of(there: Mapping[str, float], asked: Mapping[str, float]) -> int:
    """Return how many cells fit on a node. The share of a GPU that a cell gets is always of a single GPU."""
    room = [math.floor(there.get(name, 0) / amount + 1e-9) for name, amount in asked.items()]
    gpus = asked.get("GPU", 0)
    if 0 < gpus < 1:
        room.append(int(there.get("GPU", 0)) * math.floor(1 / gpus + 1e-9))
    return min(room)


def _no_room(nodes: Sequence[Mapping[str, Any]], asked: Mapping[str, float]) -> str:
    """Return the message that no node can run a cell, with the resources that it requests and that the nodes have."""
    wish = ", ".join(f"{name} {amount:g}" for name, amount in asked.items())
    have = "; ".join(
        f"{found['NodeManagerHostname']}: " + ", ".join(f"{name} {found['Resources'].get(name, 0):g}" for name in asked)
        for found in nodes[:MAX_LISTED]
    )
    more = f"; and {len(nodes) - MAX_LISTED} more" if len(nodes) > MAX_LISTED else ""
    return (
        f"{LAUNCHER}.ray.remote: a cell asks for {wish}, and no node of the cluster has so much ({have}{more}); ask "
        f"for less with {LAUNCHER}.ray.remote.num_cpus=..., num_gpus=..., or, where the cluster adds nodes by itself, "
        f"wait for them with {LAUNCHER}.autoscaling=true"
    )


def _inspect(nodes: Sequence[Mapping[str, Any]], setup: Setup) -> list[str]:
    """Return the reasons why these nodes cannot run cells."""
    check_node = ray.remote(num_cpus=0, max_retries=0)(node_functions.check_node)
    with _token(setup.outputs_dir) as (token, content):
        home = node_functions.NodeRequirements(
            project=str(PACKAGE.parent),
            digest=node_functions.digest(PACKAGE.parent),
            folder=str(Path.cwd()),
            outputs_dir=str(setup.outputs_dir),
            token=token,
            content=content,
            versions={name: version(name) for name in PACKAGES},
        )
        refs = {}
        for found in nodes:
            there = NodeAffinitySchedulingStrategy(found["NodeID"], soft=False)
            refs[check_node.options(scheduling_strategy=there).remote(vars(home))] = found["NodeManagerHostname"]
        if refs:
            ray.wait(list(refs), num_returns=len(refs), timeout=CHECK_S)
        who: dict[str, list[str]] = {}
        for ref, name in refs.items():
            for problem in _answer(ref):
                who.setdefault(problem, []).append(name)
    return [f"hydra/launcher = 'ray': {listed(names)} {problem}" for problem, names in who.items()]


def _answer(ref: Any) -> list[str]:
    try:
        problems: list[str] = ray.get(ref, timeout=0)
    except ray.exceptions.GetTimeoutError:
        return [f"does not answer within {CHECK_S:g} s"]
    except (ray.exceptions.NodeDiedError, ray.exceptions.TaskUnschedulableError):
        return []  # the node is gone: nothing will run there
    except ray.exceptions.RayError as error:
        return [f"cannot be looked at: {_first_lines(str(error))}"]
    return problems


@contextmanager
def _token(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the content of a temporary file that every node can read if it shares the folder."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    token, content = folder / f".ray.{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    token.write_text(content)
    try:
        yield token.name, content
    finally:
        token.unlink()
        for path in made:  # no sweep has written to these folders yet
            with suppress(OSError):
                path.rmdir()


def _first_lines(text: str) -> str:
    return " ".join(text.strip().splitlines()[:3])
