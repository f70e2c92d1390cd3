"""The options in `conf/hydra/sweeper/optuna.yaml`, checked."""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, NonNegativeInt, PositiveFloat, PositiveInt

from image_sweeps.cell.result import Result
from image_sweeps.config.options import SWEEPER, Options
from image_sweeps.config.problems import describe_problem
from image_sweeps.config.schema import STRICT

INSTALL = "pip install -e '.[optuna]'"

Objective = Literal["val/accuracy", "val/loss", "parameters", "seconds"]

MAXIMIZED: Sequence[Objective] = ("val/accuracy",)
"""The objectives to maximize; all others are minimized."""

REPORTED: Sequence[Objective] = ("val/accuracy", "val/loss")
"""The objectives that are known after every epoch, so that a pruner can use them."""

Seed = Annotated[int, Field(ge=0, lt=2**32)]


class _Part(BaseModel):
    model_config = STRICT


class TPE(_Part):
    """The options in `conf/hydra/sweeper/sampler/tpe.yaml`."""

    name: Literal["tpe"]
    seed: Seed
    n_startup_trials: NonNegativeInt
    n_ei_candidates: PositiveInt


class GP(_Part):
    """The options in `conf/hydra/sweeper/sampler/gp.yaml`."""

    name: Literal["gp"]
    seed: Seed
    n_startup_trials: PositiveInt


class CMAES(_Part):
    """The options in `conf/hydra/sweeper/sampler/cmaes.yaml`."""

    name: Literal["cmaes"]
    seed: Seed
    n_startup_trials: PositiveInt


class Random(_Part):
    """The options in `conf/hydra/sweeper/sampler/random.yaml`."""

    name: Literal["random"]
    seed: Seed


class Grid(_Part):
    """The options in `conf/hydra/sweeper/sampler/grid.yaml`."""

    name: Literal["grid"]


class Never(_Part):
    """The options in `conf/hydra/sweeper/pruner/none.yaml`."""

    name: Literal["none"]


class Median(_Part):
    """The options in `conf/hydra/sweeper/pruner/median.yaml`."""

    name: Literal["median"]
    n_startup_trials: NonNegativeInt
    n_warmup_epochs: NonNegativeInt
    n_min_trials: PositiveInt


class Halving(_Part):
    """The options in `conf/hydra/sweeper/pruner/halving.yaml`."""

    name: Literal["halving"]
    min_epochs: PositiveInt
    reduction_factor: Annotated[int, Field(ge=2)]


class Hyperband(_Part):
    """The options in `conf/hydra/sweeper/pruner/hyperband.yaml`."""

    name: Literal["hyperband"]
    min_epochs: PositiveInt
    reduction_factor: Annotated[int, Field(ge=2)]


Sampler = TPE | GP | CMAES | Random | Grid
Pruner = Never | Median | Halving | Hyperband


class SearchOptions(Options):
    """The options of a search; `conf/hydra/sweeper/optuna.yaml` explains each key."""

    where = SWEEPER
    n_trials: PositiveInt | None
    max_epochs: PositiveInt | None
    timeout_s: PositiveFloat | None
    objectives: Annotated[list[Objective], Field(min_length=1)]
    confirm_seeds: NonNegativeInt
    confirm_best: PositiveInt
    batch_size: PositiveInt
    storage: Annotated[str, Field(min_length=1)] | None
    params: dict[str, Any] | None
    when: dict[str, dict[str, dict[str, Any]]] | None
    sampler: Annotated[Sampler, Field(discriminator="name")]
    pruner: Annotated[Pruner, Field(discriminator="name")]

    @classmethod
    def describe(cls, problem: Any) -> str:
        return describe_problem(_untagged(problem), cls)

    def problems(self) -> Iterator[str]:
        """Yield the conflicts between options that are valid by themselves, and the packages that are missing."""
        if find_spec("optuna") is None:
            yield f"hydra/sweeper = 'optuna': Optuna is not installed; {INSTALL} brings it"
        if self.sampler.name == "cmaes" and find_spec("cmaes") is None:
            yield f"{SWEEPER}.sampler = 'cmaes': the package cmaes is not installed; {INSTALL} brings it"
        if self.sampler.name != "grid" and not (self.n_trials or self.max_epochs or self.timeout_s):
            ends = f"{SWEEPER}.n_trials, {SWEEPER}.max_epochs or {SWEEPER}.timeout_s"
            yield f"{SWEEPER}.n_trials = None: a search needs an end: {ends}"
        if repeated := {goal for goal in self.objectives if self.objectives.count(goal) > 1}:
            yield f"{SWEEPER}.objectives = {self.objectives}: {', '.join(sorted(repeated))} is there more than once"
        if self.pruner.name != "none":
            yield from _unprunable(self)
        if len(self.objectives) > 1 and self.sampler.name == "cmaes":
            several = "hydra/sweeper/sampler=tpe or gp knows several"
            yield f"{SWEEPER}.sampler = 'cmaes': knows one objective only; {several}"
        if self.storage is not None:
            yield from _unusable(self.storage)

    @property
    def directions(self) -> list[str]:
        """The direction of each objective in Optuna's terms, `maximize` or `minimize`."""
        return ["maximize" if goal in MAXIMIZED else "minimize" for goal in self.objectives]


def objective_values(result: Result, objectives: Sequence[Objective]) -> list[float]:
    """Return the value of each objective that a finished cell reached."""
    reached: dict[Objective, float] = {
        "val/accuracy": result.val_accuracy,
        "val/loss": result.val_loss,
        "parameters": float(result.num_parameters),
        "seconds": result.seconds,
    }
    return [reached[goal] for goal in objectives]


def _untagged(problem: Any) -> Any:
    """Return a problem without the name of the sampler or pruner, which pydantic adds to the key."""
    where = problem["loc"]
    if len(where) > 1 and where[0] in ("sampler", "pruner"):
        where = (where[0], *where[2:])
    if problem["type"] == "union_tag_invalid":
        return {
            **problem,
            "loc": (*where, "name"),
            "input": problem["ctx"]["tag"],
            "msg": f"must be one of {_tags(problem)}",
        }
    return {**problem, "loc": where}


def _tags(problem: Any) -> str:
    return str(problem["ctx"]["expected_tags"])


def _unprunable(options: SearchOptions) -> Iterator[str]:
    where = f"{SWEEPER}.pruner = {options.pruner.name!r}"
    if len(options.objectives) > 1:
        yield f"{where}: nothing can be pruned by several objectives; add hydra/sweeper/pruner=none"
    elif options.objectives[0] not in REPORTED:
        yield (
            f"{where}: {options.objectives[0]} is not measured after each epoch; add hydra/sweeper/pruner=none, or "
            f"take {SWEEPER}.objectives=[val/accuracy]"
        )


def _unusable(storage: str) -> Iterator[str]:
    parts = urlsplit(storage)
    if not parts.scheme:
        yield (
            f"{SWEEPER}.storage = {storage!r}: must be the address of a database, as in postgresql://user@host/name or "
            "sqlite:////shared/search.db; null keeps the search in the sweep's own folder"
        )
    elif parts.password is not None:
        yield (
            f"{SWEEPER}.storage: has a password in it, which every record would show; give it to the database's client "
            "in another way (PGPASSWORD, ~/.pgpass), and leave it out here"
        )
