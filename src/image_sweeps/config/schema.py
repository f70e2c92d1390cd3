"""The schema of a configuration, and all checks of a configuration before any work begins.

A choice of a group (`conf/optimizer/sgd.yaml`) names its builder as `_target_`, and the builder's signature is its
schema: the YAML may set the keyword-only parameters, annotated with type and range; the framework supplies the
positional ones. One declaration therefore serves the YAML, the check and the call. pydantic finds all mistakes at once,
and this module adds the relations between keys that no single type can express.
"""

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from hydra.utils import get_object
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    create_model,
)

from image_sweeps.config.problems import ConfigError, DataError, describe_problem
from image_sweeps.system.credentials import has_credentials
from image_sweeps.system.torchrun import TorchrunEnv

GROUPS = {"dataset": 1, "augmentation": 0, "activation": 0, "norm": 0, "model": 4, "optimizer": 1, "scheduler": 3}
"""The groups that build something, in the order in which `conf/config.yaml` composes them, each with the number of
positional arguments that the framework supplies to its builders."""

SEED = "seed"
"""The key whose values distinguish the replicates of a configuration."""

SWEEP_KEYS = frozenset({"resume", "resume_anyway", "reuse", "dry_run", "retries", "on_failure", "cell_timeout_s"})
"""Keys that say how a sweep is run; they do not belong to any of its cells."""

NOT_SCIENTIFIC = frozenset(
    {
        *SWEEP_KEYS,
        *("device", "devices", "threads", "data_dir", "outputs_dir", "tracking"),
        *("dataset.path", "dataset.memory_budget_mb", "dataset.num_workers"),
        *("dataset.max_images", "dataset.max_image_mb", "dataset.max_total_mb"),
    }
)
"""Keys that cannot change a result, only where it is computed and stored; they are not part of a cell's identity.

The content of a data set is part of it: the fingerprint of the data set replaces the path.
"""

UNSPLIT = {"folds": 1, "fold": 0, "split_seed": 0, "train_fraction": 1.0}
"""Neutral values of the keys that draw the splits; a data set's files, images and classes do not depend on them."""

LARGEST_INTEGER, LARGEST_FLOAT = 2**63 - 1, 3.4028234663852886e38
"""The largest values of torch's int64 and float32."""

_FOR_OTHERS = ContextVar("for other machines", default=False)

STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=())

PathFromText = Annotated[Path, Field(strict=False)]


class Part(BaseModel):
    """A validated choice of one group: its builder, and the arguments that the configuration sets."""

    model_config = STRICT
    builder: ClassVar[Callable[..., Any]]
    target: str = Field(alias="_target_")

    def arguments(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields if name != "target"}

    def build(self, *supplied: Any) -> Any:
        """Call the builder with the arguments that the framework supplies and those that the configuration sets."""
        return type(self).builder(*supplied, **self.arguments())


class Tracking(BaseModel):
    """The settings of tracking. `uri` is None for the embedded store, else the http(s) address of a server.

    With `offline`, runs stay in the folders of their cells until the user delivers them to the store.
    """

    model_config = STRICT
    uri: str | None
    offline: bool
    experiment: Annotated[str, Field(min_length=1)]


class EarlyStopping(BaseModel):
    """The rule for which epoch is the best, and for when to stop waiting for a better one."""

    model_config = STRICT
    watch: Literal["val/accuracy", "val/loss"]
    min_delta: NonNegativeFloat
    patience: PositiveInt | None


class Config(BaseModel):
    """The whole configuration of one cell, validated and frozen. `conf/config.yaml` explains each key."""

    model_config = STRICT
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    epochs: PositiveInt
    batch_size: PositiveInt
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="auto, cpu, mps, cuda or cuda:1")]
    devices: PositiveInt
    threads: PositiveInt
    precision: Literal["fp32", "bf16"]
    compile: bool
    deterministic: bool
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    clip_grad_norm: PositiveFloat | None
    l2: NonNegativeFloat
    regularize_all: bool
    early_stopping: EarlyStopping
    resume: Annotated[str, Field(min_length=1)] | None
    resume_anyway: bool
    reuse: bool
    dry_run: bool
    retries: NonNegativeInt
    on_failure: Literal["continue", "stop"]
    cell_timeout_s: (
        Annotated[float, Field(gt=0, le=2_000_000)] | None
    )  # the call that waits counts milliseconds in 31 bits
    data_dir: PathFromText
    outputs_dir: PathFromText
    dataset: Part
    augmentation: Part
    activation: Part
    norm: Part
    model: Part
    optimizer: Part
    scheduler: Part
    tracking: Tracking

    @classmethod
    def checked(cls, raw: Mapping[str, Any]) -> Self:
        """Return the validated configuration in `raw`, a resolved plain mapping.

        Raises:
            ConfigError: with every problem found: unknown keys, wrong types, values out of range, and, if there are
                none of these, combinations that cannot work.
        """
        schema, problems = _schema(raw)
        if problem := _exposed_password(raw.get("tracking")):
            raise ConfigError([problem])  # alone: other problems would show the value
        try:
            config = schema.model_validate(raw)
        except ValidationError as error:
            problems += [describe_problem(problem, schema) for problem in error.errors()]
            raise ConfigError(problems) from None
        problems += list(_impossible(config)) if not problems else []
        if problems:
            raise ConfigError(problems)
        return typing.cast(Self, config)

    def scientific(self) -> dict[str, Any]:
        """Return the part of the configuration that can change a result, as plain containers."""
        tree = self.model_dump(mode="json", by_alias=True, serialize_as_any=True)
        return {
            key: {k: v for k, v in value.items() if f"{key}.{k}" not in NOT_SCIENTIFIC} if key in GROUPS else value
            for key, value in tree.items()
            if key not in NOT_SCIENTIFIC
        }


def flattened(raw: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of a nested configuration by their dotted keys.

    Builders are left out because the choices name them, and so are the keys that say how a sweep is run.
    """
    flat: dict[str, Any] = {}
    for key, value in raw.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        elif key != "_target_" and key not in SWEEP_KEYS:
            flat[f"{prefix}{key}"] = value
    return flat


def is_scientific(key: str) -> bool:
    """Return whether a dotted key can change a result."""
    return key not in NOT_SCIENTIFIC and key.split(".")[0] not in NOT_SCIENTIFIC


# --- from builders to a schema ----------------------------------------------------------------------------------------


def _schema(raw: Mapping[str, Any]) -> tuple[type[Config], list[str]]:
    """Return `Config` with each group narrowed to the signature of the builder that `raw` names, and the problems."""
    fields: dict[str, Any] = {}
    problems: list[str] = []
    for group in GROUPS:
        if not isinstance(part := raw.get(group), Mapping):
            continue  # missing, or not a mapping: the base schema reports it
        try:
            fields[group] = _part_schema(group, str(part.get("_target_")))
        except ConfigError as error:
            problems += error.problems
            fields[group] = Any
    return _narrowed(tuple(fields.items())), problems


@lru_cache(maxsize=256)
def _narrowed(fields: tuple[tuple[str, Any], ...]) -> type[Config]:
    narrowed: dict[str, Any] = {name: (annotation, ...) for name, annotation in fields}
    return create_model("Config", __base__=Config, **narrowed)


@lru_cache(maxsize=256)
def _part_schema(group: str, target: str) -> type[Part]:
    """Return the schema of one choice, derived from the keyword-only parameters of its builder."""
    builder = _builder(group, target)
    hints = typing.get_type_hints(builder.__init__ if inspect.isclass(builder) else builder, include_extras=True)
    parameters = inspect.signature(builder).parameters.values()
    fields: dict[str, Any] = {
        p.name: (hints[p.name], ... if p.default is p.empty else p.default)
        for p in parameters
        if p.kind is p.KEYWORD_ONLY
    }
    schema = create_model(f"{group}.{builder.__name__}", __base__=Part, **fields)
    schema.builder = staticmethod(builder)
    return schema


def _builder(group: str, target: str) -> Callable[..., Any]:
    """Return the callable that `target` names. Only names inside this project's module of the group are imported."""
    home = f"image_sweeps.{group}"
    if target.startswith(home + "."):
        try:
            builder = get_object(target)
        except Exception:  # whatever importing a misspelled name raises, the answer is the same
            builder = None
        if str(getattr(builder, "__module__", "")).startswith(home) and _builds(builder, GROUPS[group]):
            return typing.cast(Callable[..., Any], builder)
    raise ConfigError([f"{group}._target_ = {target!r}: must name a builder of {home}, a function or class"])


def _exposed_password(tracking: Any) -> str | None:
    """Return the problem of an address with credentials, which every record would contain; do not repeat them."""
    uri = tracking.get("uri") if isinstance(tracking, Mapping) else None
    if isinstance(uri, str) and has_credentials(uri):
        return (
            "tracking.uri: has a user name or password in it, which every record would show; set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment, and leave them out here"
        )
    return None


def _builds(candidate: Any, num_supplied: int) -> bool:
    """Return whether `candidate` accepts `num_supplied` positional arguments and its keyword-only ones."""
    if not callable(candidate) or inspect.isabstract(candidate) or getattr(candidate, "_is_protocol", False):
        return False
    signature = inspect.signature(candidate)
    keywords = [p.name for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
    try:
        signature.bind(*[None] * num_supplied, **dict.fromkeys(keywords))
    except TypeError:
        return False
    return True


# --- relations between keys -------------------------------------------------------------------------------------------


def _impossible(config: Config) -> Iterator[str]:
    """Yield the problems of allowed values that cannot work together."""
    dataset, scheduler = config.dataset.arguments(), config.scheduler.arguments()
    if dataset["fold"] >= dataset["folds"]:
        yield (
            f"dataset.fold = {dataset['fold']}: must be below dataset.folds = {dataset['folds']}; "
            "for 5-fold cross-validation give dataset.folds=5 dataset.fold=range(5)"
        )
    if scheduler.get("warmup_epochs", 0) >= config.epochs:
        yield f"scheduler.warmup_epochs = {scheduler['warmup_epochs']:g}: must be below epochs = {config.epochs}"
    if config.optimizer.arguments().get("nesterov") and config.optimizer.arguments().get("momentum") == 0:
        yield "optimizer.nesterov = True: needs optimizer.momentum above 0, for example optimizer.momentum=0.9"
    beyond = list(_beyond(config.model_dump(by_alias=True, serialize_as_any=True)))
    yield from beyond
    images = config.dataset.model_copy(update=UNSPLIT)
    if not beyond and (
        problem := _network_problem(images, config.data_dir, config.activation, config.norm, config.model)
    ):
        yield problem
    if config.norm.target == "image_sweeps.norm.BatchNorm" and config.batch_size == 1:
        yield (
            "batch_size = 1: norm=batch needs the statistics of at least 2 images a batch; "
            "take batch_size=2 or more, or norm=group"
        )
    if not _FOR_OTHERS.get():
        yield from _unavailable_device(config.device)
        if config.devices > 1:
            yield from _unavailable_devices(config.device, config.devices)
    yield from _unlike_torchrun(config.devices)


@contextmanager
def for_other_machines() -> Iterator[None]:
    """Skip the check for available devices while the block runs: another machine runs the cells and checks its own."""
    token = _FOR_OTHERS.set(True)
    try:
        yield
    finally:
        _FOR_OTHERS.reset(token)


def _beyond(value: Any, key: str = "") -> Iterator[str]:
    """Yield the problems of numbers that are too large for torch, which counts in int64 and computes in float32."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _beyond(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list | tuple):
        for position, inner in enumerate(value):
            yield from _beyond(inner, f"{key}.{position}")
    elif isinstance(value, int) and value > LARGEST_INTEGER:
        yield f"{key} = {value!r}: must be at most {LARGEST_INTEGER}"
    elif isinstance(value, float) and value > LARGEST_FLOAT:
        yield f"{key} = {value!r}: must be at most {LARGEST_FLOAT:g}, the largest number in float32"


@lru_cache(maxsize=1024)  # a grid has few networks and many learning rates
def _network_problem(dataset: Part, data_dir: Path, activation: Part, norm: Part, model: Part) -> str | None:
    """Build the network for the data set's images, without its weights, and return why that fails, else None."""
    import torch

    try:
        source = dataset.build(data_dir)
        with torch.device("meta"):
            model.build(source.shape, len(source.class_names), activation.build, norm.build())
    except (ValueError, DataError) as error:
        return str(error)
    except Exception as error:  # torch counts the weights of a layer in 64 bits; overflow has several errors
        asked = model.model_dump(mode="json", exclude={"target"})
        layers = ", ".join(f"model.{name} = {value!r}" for name, value in asked.items())
        return f"{layers}: cannot be built ({type(error).__name__}: {str(error).splitlines()[0]}); take smaller layers"
    return None


def _unavailable_device(device: str) -> Iterator[str]:
    import torch

    available = ["cpu"]
    available += ["mps"] if torch.backends.mps.is_available() else []
    available += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if device not in ("auto", *available) and not (device == "cuda" and "cuda:0" in available):
        yield f"device = {device!r}: this machine has {', '.join(available)}; device=auto takes the best of them"


def _unavailable_devices(device: str, count: int) -> Iterator[str]:
    """Yield why a cell cannot have `count` devices; on the CPU they are processes, and any number is possible."""
    import torch

    started = TorchrunEnv.load()
    here = started.local_size if started else count  # the others are on other machines
    num_gpus = torch.cuda.device_count()
    if ":" in device:
        yield f"devices = {count}: device = {device!r} names one; device=cuda takes the first {count}"
    elif device == "mps" or (device == "auto" and torch.backends.mps.is_available()):
        yield f"devices = {count}: there is one device of the kind mps; device=cpu trains in several processes"
    elif device != "cpu" and here > num_gpus > 0:
        yield f"devices = {count}: {here} GPUs are wanted on this machine, which has {num_gpus}"


def _unlike_torchrun(count: int) -> Iterator[str]:
    started = TorchrunEnv.load()
    if started is not None and started.size != count:
        yield (
            f"devices = {count}: WORLD_SIZE = {started.size} in the environment says that so many processes were "
            f"started to train the cell; give devices={started.size}, or start one without torchrun"
        )
