"""The validated options of `conf/hydra/launcher/slurm.yaml`, and their `sbatch` flags."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from image_sweeps.config.options import LAUNCHER, Options
from image_sweeps.config.problems import describe_problem

Name = Annotated[str, Field(min_length=1)]

Gpus = Annotated[str, Field(pattern=r"^[\w.-]+:[1-9][0-9]*$", description="a number, or kind:number as in a100:2")]

MIB_PER_GIB = 1024


class SlurmOptions(Options):
    """The options of the SLURM launcher; the comments in the file explain each of them."""

    where = LAUNCHER
    partition: Name | None
    account: Name | None
    qos: Name | None
    constraint: Name | None
    exclude: Name | None
    reservation: Name | None
    gpus_per_node: PositiveInt | Gpus | None
    cpus_per_task: PositiveInt
    mem_gb: PositiveFloat | PositiveInt | None
    timeout_min: PositiveInt | None
    array_parallelism: PositiveInt | None
    requeue: bool
    signal: Literal["USR1", "USR2"]
    signal_delay_s: PositiveInt
    poll_s: PositiveFloat | PositiveInt
    latency_s: NonNegativeFloat | NonNegativeInt

    @classmethod
    def describe(cls, problem: Any) -> str:
        """Describe a problem. For an option with two types, say which values are valid, not which type failed."""
        if problem["loc"][0] == "gpus_per_node":
            return (
                f"gpus_per_node = {problem['input']!r}: must be a number greater than 0, or kind:number as in a100:2; "
                "null for none"
            )
        return describe_problem({**problem, "loc": problem["loc"][:1]}, cls)

    def problems(self) -> Iterator[str]:
        """Yield a problem if the signal would not come before the time limit."""
        if self.timeout_min is not None and self.requeue and self.signal_delay_s >= self.timeout_min * 60:
            yield (
                f"{LAUNCHER}.signal_delay_s = {self.signal_delay_s}: must be less than the time limit, "
                f"{LAUNCHER}.timeout_min = {self.timeout_min}, which is {self.timeout_min * 60} s"
            )

    @property
    def flags(self) -> list[str]:
        """The flags of `sbatch` that request one cell.

        The signal goes to the batch script alone (`B:`), which is the cell's own process: it must not kill the
        processes that the cell has started, such as workers that load images.
        """
        asked = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "exclude": self.exclude,
            "reservation": self.reservation,
            "gres": None if self.gpus_per_node is None else f"gpu:{self.gpus_per_node}",
            "cpus-per-task": self.cpus_per_task,
            "mem": None if self.mem_gb is None else f"{max(1, round(self.mem_gb * MIB_PER_GIB))}M",
            "time": self.timeout_min,
            "signal": f"B:{self.signal}@{self.signal_delay_s}" if self.requeue else None,
        }
        flags = [f"--{name}={value}" for name, value in asked.items() if value is not None]
        return [*flags, "--nodes=1", "--ntasks=1", "--requeue" if self.requeue else "--no-requeue"]
