"""The space of a search: parameters in Hydra's override grammar, some of which only certain choices have.

optimizer.lr=tag(log, interval(1e-4, 1))    a real number, uniform in its logarithm
model.dropout=interval(0, 0.8)              a real number
batch_size=range(50, 250, 50)               50, 100, 150 or 200: the end is excluded, as in a grid
batch_size=int(interval(50, 200))           an integer, both ends included; with tag(log, ...) as above
model=cnn,mlp                               one of several values without an order
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from image_sweeps.config.problems import ConfigError
from image_sweeps.sweep.grid import key_of, swept_values

if TYPE_CHECKING:  # optuna is an extra
    from optuna.trial import Trial

Value = str | int | float
Point = dict[str, Value]
"""A value for each parameter that exists at a point of the space, by the name of the parameter."""

LOG = "log"


@dataclass(frozen=True)
class Choice:
    """A parameter with several values that have no order.

    Attributes:
        key: the key on the command line.
        name: the name in the study.
        values: the values as on the command line.
    """

    key: str
    name: str
    values: tuple[str, ...]

    def suggest(self, trial: "Trial") -> Value:
        """Return the value that the sampler of `trial` chooses."""
        return str(trial.suggest_categorical(self.name, self.values))

    def probes(self) -> Sequence[Value]:
        """Return the values to check before a search."""
        return self.values

    def points(self) -> Sequence[Value]:
        """Return all values."""
        return self.values

    def text(self, value: Value) -> str:
        """Return `value` as on the command line."""
        return str(value)


@dataclass(frozen=True)
class Real:
    """A real number from `low` to `high`, in steps unless `step` is None, uniform in its logarithm if `log` is true."""

    key: str
    name: str
    low: float
    high: float
    step: float | None
    log: bool

    def suggest(self, trial: "Trial") -> Value:
        """Return the value that the sampler of `trial` chooses."""
        return float(trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log))

    def probes(self) -> Sequence[Value]:
        """Return the values to check before a search."""
        return tuple(dict.fromkeys((self.low, self.high)))

    def points(self) -> Sequence[Value] | None:
        """Return all values, or None if there are no steps."""
        if self.step is None:
            return None
        return [self.low + number * self.step for number in range(round((self.high - self.low) / self.step) + 1)]

    def text(self, value: Value) -> str:
        """Return `value` as on the command line, with all digits."""
        return repr(float(value))


@dataclass(frozen=True)
class Integer:
    """An integer from `low` to `high`, both included, in steps of `step`, uniform in its logarithm if `log` is true."""

    key: str
    name: str
    low: int
    high: int
    step: int
    log: bool

    def suggest(self, trial: "Trial") -> Value:
        """Return the value that the sampler of `trial` chooses."""
        return int(trial.suggest_int(self.name, self.low, self.high, step=self.step, log=self.log))

    def probes(self) -> Sequence[Value]:
        """Return the values to check before a search."""
        return tuple(dict.fromkeys((self.low, self.high)))

    def points(self) -> Sequence[Value]:
        """Return all values."""
        return range(self.low, self.high + 1, self.step)

    def text(self, value: Value) -> str:
        """Return `value` as on the command line."""
        return str(int(value))


Parameter = Choice | Real | Integer


@dataclass(frozen=True)
class Space:
    """The parameters of a search.

    Attributes:
        said: the values of each parameter as text, by its name: `{"optimizer.lr": "0.0001 to 1, logarithmic"}`.
        always: the parameters that every trial has.
        when: the parameters that depend on the value of another one, by the name and the value of the latter.
    """

    said: dict[str, str]
    always: tuple[Parameter, ...]
    when: dict[tuple[str, str], tuple[Parameter, ...]]

    def walk(self, choose: Callable[[Parameter], Value]) -> Point:
        """Return the point with the values that `choose` returns, one parameter after another, dependent ones last."""
        point: Point = {}
        for parameter in self._walked(point):
            point[parameter.name] = choose(parameter)
        return point

    def _walked(self, point: Point) -> Iterator[Parameter]:
        """Yield the parameters that exist at `point`; the caller adds each value to it before asking for the next."""
        coming = deque(self.always)
        while coming:
            parameter = coming.popleft()
            yield parameter
            if isinstance(parameter, Choice):
                coming.extend(self.when.get((parameter.name, str(point[parameter.name])), ()))

    def suggest(self, trial: "Trial") -> Point:
        """Return the point that the sampler of `trial` chooses."""
        return self.walk(lambda parameter: parameter.suggest(trial))

    def overrides(self, point: Point) -> list[str]:
        """Return the overrides of a point as on the command line."""
        return [f"{p.key}={p.text(point[p.name])}" for p in self._walked(point)]

    def keys(self) -> list[str]:
        """Return all keys that vary, in the order in which they were given."""
        every = itertools.chain(self.always, *self.when.values())
        return list(dict.fromkeys(parameter.key for parameter in every))

    def describe(self, key: str) -> tuple[str, ...]:
        """Return the values of a key as text, once for every condition under which it varies."""
        every = itertools.chain(self.always, *self.when.values())
        return tuple(self.said[parameter.name] for parameter in every if parameter.key == key)

    def is_whole(self, point: Mapping[str, Any]) -> bool:
        """Return whether `point` has a value for every parameter that exists at it."""
        try:
            self.walk(lambda parameter: point[parameter.name])
        except KeyError:
            return False
        return True

    def grid(self) -> list[Point] | None:
        """Return all points, the last parameter varying fastest, or None if a parameter has no steps."""
        if any(p.points() is None for p in itertools.chain(self.always, *self.when.values())):
            return None
        return list(self._spread({}, deque(self.always), lambda parameter: parameter.points() or ()))

    def probes(self, most: int) -> list[Point]:
        """Return the points to check before a search: the ends of every range with every combination of choices.

        If these are more than `most`, each value to check is used once, with the first values of the other parameters.
        """
        found = list(
            itertools.islice(self._spread({}, deque(self.always), lambda parameter: parameter.probes()), most + 1)
        )
        return found if len(found) <= most else list(self._one_at_a_time())

    def _spread(
        self, point: Point, coming: deque[Parameter], values: Callable[[Parameter], Sequence[Value]]
    ) -> Iterator[Point]:
        if not coming:
            yield point
            return
        parameter, rest = coming[0], list(coming)[1:]
        for value in values(parameter):
            more = self.when.get((parameter.name, str(value)), ()) if isinstance(parameter, Choice) else ()
            yield from self._spread({**point, parameter.name: value}, deque([*rest, *more]), values)

    def _one_at_a_time(self) -> Iterator[Point]:
        needed: dict[str, Point] = {p.name: {} for p in self.always}
        needed |= {p.name: {name: value} for (name, value), inner in self.when.items() for p in inner}
        for parameter in itertools.chain(self.always, *self.when.values()):
            for value in parameter.probes():
                yield self.walk(_first_but({**needed[parameter.name], parameter.name: value}))


def _first_but(point: Point) -> Callable[[Parameter], Value]:
    """Return a function that gives the value of a parameter at `point`, or its first value if it has none there."""
    return lambda parameter: point.get(parameter.name, parameter.probes()[0])


def parameter_of(override: Override, name: str | None = None) -> Parameter | str:
    """Return the parameter that an override describes, or the override itself if it leaves nothing to choose.

    Raises:
        ConfigError: if the override is not a valid parameter.
    """
    key, sweep = override.get_key_element(), override.value()
    named = name or key.lstrip("+")
    if isinstance(sweep, IntervalSweep):
        return _interval(override, key, named)
    if isinstance(sweep, RangeSweep) and not sweep.shuffle:
        return _range(override, key, named)
    texts = swept_values(override)
    if len(texts) == 1:
        return texts[0]
    return Choice(key_of(texts[0]), named, tuple(text.split("=", 1)[1] for text in texts))


def _interval(override: Override, key: str, name: str) -> Real | Integer:
    sweep = override.value()
    assert isinstance(sweep, IntervalSweep)
    low, high, log = sweep.start, sweep.end, LOG in sweep.tags
    assert low is not None
    assert high is not None
    _refuse(override, low, high, log)
    if isinstance(low, int) and isinstance(high, int):
        return Integer(key, name, low, high, 1, log)
    return Real(key, name, float(low), float(high), None, log)


def _range(override: Override, key: str, name: str) -> Real | Integer | str:
    sweep = override.value()
    assert isinstance(sweep, RangeSweep)
    texts = swept_values(override)  # raises ConfigError if the values cannot be listed
    numbers = sorted(float(text.split("=", 1)[1]) for text in texts)
    log, step = LOG in sweep.tags, abs(float(sweep.step))
    if len(texts) == 1:
        return texts[0]
    _refuse(override, numbers[0], numbers[-1], log)
    if log and step != 1:
        raise ConfigError([f"{override.input_line}: a range in logarithms has steps of 1; interval(...) has none"])
    if all(isinstance(part, int) for part in (sweep.start, sweep.stop, sweep.step)):
        return Integer(key, name, int(numbers[0]), int(numbers[-1]), int(step), log)
    return Real(key, name, numbers[0], numbers[-1], step, log)


def _refuse(override: Override, low: float, high: float, log: bool) -> None:
    line = override.input_line
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError([f"{line}: needs finite ends"])
    if low >= high:
        raise ConfigError([f"{line}: the lower end has to be below the upper one"])
    if log and low <= 0:
        raise ConfigError([f"{line}: a logarithm needs ends above 0, as in tag(log, interval(1e-4, 1))"])
    if unknown := set(override.value().tags) - {LOG}:  # type: ignore[union-attr]
        raise ConfigError([f"{line}: the tag {', '.join(sorted(unknown))} says nothing here; log is the only one"])
