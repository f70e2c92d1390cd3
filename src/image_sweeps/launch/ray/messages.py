"""What the sweep's process and the one that talks to Ray say to each other. Light: the latter needs no torch."""

from dataclasses import dataclass
from pathlib import Path

from image_sweeps.launch.ray.options import RayOptions


@dataclass(frozen=True)
class Setup:
    """What a connection is made with.

    Attributes:
        options: of the user.
        wants_gpu: whether the cells are to run on a GPU: None where they take what there is.
        outputs_dir: what the nodes have to share, absolute.
        work: what is done with each cell: the name of a `worker.Work`, as in `image_sweeps.launch.worker:train_cell`.
    """

    options: RayOptions
    wants_gpu: bool | None
    outputs_dir: Path
    work: str


@dataclass(frozen=True)
class Connected:
    """The cluster is there, and its nodes can be used.

    Attributes:
        num_slots: how many cells they have room for at a time.
    """

    num_slots: int


@dataclass(frozen=True)
class Refused:
    """The cluster cannot be used, for these reasons."""

    problems: tuple[str, ...]


@dataclass(frozen=True)
class Start:
    """To Ray: take the cell that is saved in `folder`."""

    folder: Path


@dataclass(frozen=True)
class Stop:
    """To Ray: let the cell finish its epoch, or take it back."""

    folder: Path


@dataclass(frozen=True)
class Kill:
    """To Ray: end the cell at once."""

    folder: Path


@dataclass(frozen=True)
class Ended:
    """Ray has done with the cell; `reason` says why there is no result, if there is none."""

    folder: Path
    reason: str


@dataclass(frozen=True)
class Noted:
    """Something that the user should know."""

    text: str


Command = Start | Stop | Kill
Event = Connected | Refused | Ended | Noted
