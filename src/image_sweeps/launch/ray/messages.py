"""The messages between the sweep's process and the driver. This module imports no torch: the driver needs none."""

from dataclasses import dataclass
from pathlib import Path

from image_sweeps.launch.ray.options import RayOptions


@dataclass(frozen=True)
class Setup:
    """The settings of a connection.

    Attributes:
        options: the user's options.
        wants_gpu: whether the cells run on a GPU; None if they run on any available device.
        outputs_dir: the folder that the nodes have to share, as an absolute path.
        work: the name of the `worker.Work` applied to each cell, such as `image_sweeps.launch.worker:train_cell`.
    """

    options: RayOptions
    wants_gpu: bool | None
    outputs_dir: Path
    work: str


@dataclass(frozen=True)
class Connected:
    """The event that the cluster is connected, and its nodes can be used.

    Attributes:
        num_slots: how many cells fit on the nodes at a time.
    """

    num_slots: int


@dataclass(frozen=True)
class Refused:
    """The event that the cluster cannot be used, with the reasons."""

    problems: tuple[str, ...]


@dataclass(frozen=True)
class Start:
    """The command to run the cell saved in `folder`."""

    folder: Path


@dataclass(frozen=True)
class Stop:
    """The command to stop the cell after its epoch, or to withdraw it if it waits."""

    folder: Path


@dataclass(frozen=True)
class Kill:
    """The command to kill the cell immediately."""

    folder: Path


@dataclass(frozen=True)
class Ended:
    """The event that Ray no longer queues or runs the cell; `reason` explains a missing result."""

    folder: Path
    reason: str


@dataclass(frozen=True)
class Noted:
    """The event that carries a message for the user."""

    text: str


Command = Start | Stop | Kill
Event = Connected | Refused | Ended | Noted
