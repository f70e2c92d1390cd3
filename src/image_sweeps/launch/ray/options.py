"""The validated options of `conf/hydra/launcher/ray.yaml`. Ray itself checks the values that it knows better."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from image_sweeps.config.options import LAUNCHER, Options
from image_sweeps.config.schema import STRICT

Text = Annotated[str, Field(min_length=1)]

CLIENT = "ray://"

SMALLEST_STORE_BYTES = 75 * 2**20
"""The minimum size of Ray's object store, which cells do not use."""


class Init(BaseModel):
    """Arguments of `ray.init`; any further arguments are passed to it unchecked."""

    model_config = ConfigDict(**{**STRICT, "extra": "allow"})
    address: Text
    num_cpus: PositiveInt | None
    num_gpus: NonNegativeInt | None
    resources: dict[Text, NonNegativeFloat] | None
    include_dashboard: bool | None

    @property
    def starts_one(self) -> bool:
        """Whether a cluster is started for the sweep."""
        return self.address == "local"

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments that are not null. The others are left to Ray, which refuses most for an existing cluster."""
        given = {key: value for key, value in self.model_dump().items() if value is not None}
        if self.starts_one:
            return {"object_store_memory": SMALLEST_STORE_BYTES, **given}  # Ray's default: 30% of the machine's memory
        given.pop("include_dashboard", None)
        return given


class TaskResources(BaseModel):
    """Arguments of `ray.remote`: the resources that one cell requests from its node."""

    model_config = STRICT
    num_cpus: NonNegativeFloat
    num_gpus: NonNegativeFloat | None
    memory: PositiveInt | None
    resources: dict[Text, NonNegativeFloat] | None
    accelerator_type: Text | None
    label_selector: dict[Text, Text] | None
    scheduling_strategy: Literal["DEFAULT", "SPREAD"]
    max_retries: Annotated[int, Field(ge=-1)]

    @property
    def num_threads(self) -> int:
        """The number of threads that a cell computes with."""
        return max(1, int(self.num_cpus))

    def arguments(self, num_gpus: float) -> dict[str, Any]:
        """Return the arguments that are not null, with `num_gpus` GPUs."""
        given = self.model_dump(exclude={"num_gpus", "max_retries"}, exclude_none=True)
        return {**given, "num_gpus": num_gpus}

    def resources_of_node(self, num_gpus: float) -> dict[str, float]:
        """Return the amounts of resources that a node must have, by Ray's names."""
        asked = {"CPU": self.num_cpus, "GPU": num_gpus, "memory": float(self.memory or 0), **(self.resources or {})}
        if self.accelerator_type:
            asked[f"accelerator_type:{self.accelerator_type}"] = 0.001
        return {name: amount for name, amount in asked.items() if amount}


class RayGroup(BaseModel):
    """The option group `hydra.launcher.ray`."""

    model_config = STRICT
    init: Init
    remote: TaskResources


class RayOptions(Options):
    """The options of the Ray launcher; the comments in the file explain each of them."""

    where = LAUNCHER
    ray: RayGroup
    autoscaling: bool

    def problems(self) -> list[str]:
        """Return the problems of options that Ray would reject, or that would not have their apparent effect."""
        init, asked = self.ray.init, self.ray.remote
        amounts = {"num_cpus": asked.num_cpus, "num_gpus": asked.num_gpus, **(asked.resources or {})}
        problems = [
            f"{LAUNCHER}.ray.remote.{'' if name.startswith('num_') else 'resources.'}{name} = {amount:g}: must be a "
            "whole number, or less than 1 for a share of one"
            for name, amount in amounts.items()
            if amount and amount > 1 and not amount.is_integer()
        ]
        if init.address.startswith(CLIENT):
            problems.append(
                f"{LAUNCHER}.ray.init.address = {init.address!r}: a sweep reads what its cells write, and so has to "
                "run on a node of the cluster; start it there, or by `ray job submit`, with the address as host:port "
                "or auto"
            )
        if (
            asked.num_cpus == 0
            and not asked.num_gpus
            and not asked.memory
            and not any((asked.resources or {}).values())
        ):
            problems.append(
                f"{LAUNCHER}.ray.remote.num_cpus = 0: nothing would limit how many cells a node runs at a time; give "
                "it CPUs, or memory or resources of its own"
            )
        return problems
