"""What `conf/hydra/launcher/slurm.yaml` says, checked, and as `sbatch` wants to hear it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from image_sweeps.config.problems import ConfigError, describe_problem
from image_sweeps.config.schema import STRICT

Name = Annotated[str, Field(min_length=1)]

Gpus = Annotated[str, Field(pattern=r"^[\w.-]+:[1-9][0-9]*$", description="a number, or kind:number as in a100:2")]

MIB_PER_GIB = 1024


class SlurmOptions(BaseModel):
    """The options; what each means stands beside it in the file."""

    model_config = STRICT
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
    def checked(cls, raw: Mapping[str, Any]) -> Self:
        """The options in `raw`.

        Raises:
            ConfigError: with every problem found.
        """
        try:
            options = cls.model_validate(dict(raw))
        except ValidationError as error:
            raise ConfigError([_describe_problem(problem) for problem in error.errors()]) from None
        if options.timeout_min is not None and options.requeue and options.signal_delay_s >= options.timeout_min * 60:
            raise ConfigError(
                [
                    f"hydra.launcher.signal_delay_s = {options.signal_delay_s}: must be less than the time limit, "
                    f"hydra.launcher.timeout_min = {options.timeout_min}, which is {options.timeout_min * 60} s"
                ]
            )
        return options

    @property
    def flags(self) -> list[str]:
        """The flags of `sbatch` that ask for one cell.

        The signal goes to the batch script alone (`B:`), which is the cell's own process: what that has started, such
        as workers that load images, is not to die of it.
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


def _describe_problem(problem: Any) -> str:
    """One pydantic error. Of an option with two types, what it is to be rather than which of the two it is not."""
    if problem["loc"][0] == "gpus_per_node":
        return (
            f"hydra.launcher.gpus_per_node = {problem['input']!r}: must be a number greater than 0, or kind:number as "
            "in a100:2; null for none"
        )
    return f"hydra.launcher.{describe_problem({**problem, 'loc': problem['loc'][:1]}, SlurmOptions)}"
