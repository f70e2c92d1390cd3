"""What a search may vary: parameters in Hydra's override grammar, and which of them only some choices have.

optimizer.lr=tag(log, interval(1e-4, 1))    a real number, uniform in its logarithm
model.dropout=interval(0, 0.8)              a real number
batch_size=range(50, 250, 50)               50, 100, 150 or 200: the end is left out, as in a grid
batch_size=int(interval(50, 200))           a whole number, both ends among them; with tag(log, ...) as above
model=cnn,mlp                               one of these, of which none is nearer to another
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from image_sweeps.config.problems import ConfigError
from image_sweeps.sweep.grid import key_of, values_of

if TYPE_CHECKING:  # optuna is an extra
    from optuna.trial import Trial

Value = str | int | float
Point = dict[str, Value]
"""A value for each parameter that there is at this place of the space, by their names."""

LOG = "log"


@dataclass(frozen=True)
class Choice:
    """One of several values.

    Attributes:
        key: as on the command line.
        name: by which the study knows it.
        values: as on the command line.
    """

    key: str
    name: str
    values: tuple[str, ...]

    def suggest(self, trial: "Trial") -> Value:
        """A value of the sampler's choice."""
        return str(trial.suggest_categorical(self.name, self.values))

    def probes(self) -> Sequence[Value]:
        """What is tried before a search, to find mistakes."""
        return self.values

    def points(self) -> Sequence[Value]:
        """All values."""
        return self.values

    def text(self, value: Value) -> str:
        """As on the command line."""
        return str(value)


@dataclass(frozen=True)
class Real:
    """A real number from `low` to `high`, in steps where `step` is given, uniform in its logarithm with `log`."""

    key: str
    name: str
    low: float
    high: float
    step: float | None
    log: bool

    def suggest(self, trial: "Trial") -> Value:
        """A value of the sampler's choice."""
        return float(trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log))

    def probes(self) -> Sequence[Value]:
        """What is tried before a search, to find mistakes."""
        return tuple(dict.fromkeys((self.low, self.high)))

    def points(self) -> Sequence[Value] | None:
        """All values, or None where they cannot be counted."""
        if self.step is None:
            return None
        return [self.low + number * self.step for number in range(round((self.high - self.low) / self.step) + 1)]

    def text(self, value: Value) -> str:
        """As on the command line, to the last digit."""
        return repr(float(value))


@dataclass(frozen=True)
class Integer:
    """A whole number from `low` to `high`, both among them."""

    key: str
    name: str
    low: int
    high: int
    step: int
    log: bool

    def suggest(self, trial: "Trial") -> Value:
        """A value of the sampler's choice."""
        return int(trial.suggest_int(self.name, self.low, self.high, step=self.step, log=self.log))

    def probes(self) -> Sequence[Value]:
        """What is tried before a search, to find mistakes."""
        return tuple(dict.fromkeys((self.low, self.high)))

    def points(self) -> Sequence[Value]:
        """All values."""
        return range(self.low, self.high + 1, self.step)

    def text(self, value: Value) -> str:
        """As on the command line."""
        return str(int(value))


Parameter = Choice | Real | Integer


@dataclass(frozen=True)
class Space:
    """The parameters of a search.

    Attributes:
        said: what was written of each, by name: `{"optimizer.lr": "tag(log, interval(1e-4, 1))"}`.
        always: the parameters that every trial has.
        when: those that only trials with a certain value of another parameter have, by that one's name and the value.
    """

    said: dict[str, str]
    always: tuple[Parameter, ...]
    when: dict[tuple[str, str], tuple[Parameter, ...]]

    def walk(self, choose: Callable[[Parameter], Value]) -> Point:
        """The point that `choose` takes, which is asked for one parameter after the other, those that depend last."""
        point: Point = {}
        for parameter in self._walked(point):
            point[parameter.name] = choose(parameter)
        return point

    def _walked(self, point: Point) -> Iterator[Parameter]:
        """The parameters that there are at `point`, which the caller fills as they come."""
        coming = deque(self.always)
        while coming:
            parameter = coming.popleft()
            yield parameter
            if isinstance(parameter, Choice):
                coming.extend(self.when.get((parameter.name, str(point[parameter.name])), ()))

    def suggest(self, trial: "Trial") -> Point:
        """The point of the sampler's choice."""
        return self.walk(lambda parameter: parameter.suggest(trial))

    def overrides(self, point: Point) -> list[str]:
        """A point as on the command line."""
        return [f"{p.key}={p.text(point[p.name])}" for p in self._walked(point)]

    def keys(self) -> list[str]:
        """All keys that vary, in the order in which they were said."""
        every = itertools.chain(self.always, *self.when.values())
        return list(dict.fromkeys(parameter.key for parameter in every))

    def said_of(self, key: str) -> tuple[str, ...]:
        """What was written of a key, once for every condition under which it varies."""
        every = itertools.chain(self.always, *self.when.values())
        return tuple(self.said[parameter.name] for parameter in every if parameter.key == key)

    def is_whole(self, point: Mapping[str, Any]) -> bool:
        """Whether there is a value for every parameter, at the place where the others are."""
        try:
            self.walk(lambda parameter: point[parameter.name])
        except KeyError:
            return False
        return True

    def grid(self) -> list[Point] | None:
        """All points, those of the last parameter changing first; None where they cannot be counted."""
        if any(p.points() is None for p in itertools.chain(self.always, *self.when.values())):
            return None
        return list(self._spread({}, deque(self.always), lambda parameter: parameter.points() or ()))

    def probes(self, most: int) -> list[Point]:
        """Points in which mistakes show: the ends of every range with every combination of choices.

        Where these are more than `most`, all values one at a time, the others being the first of theirs.
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
    """The value of each parameter at `point`, and the first of those that have none there."""
    return lambda parameter: point.get(parameter.name, parameter.probes()[0])


def parameter_of(override: Override, name: str | None = None) -> Parameter | str:
    """The parameter that an override makes, or the override as it stands where it leaves nothing to choose.

    Raises:
        ConfigError: where it makes none.
    """
    key, sweep = override.get_key_element(), override.value()
    named = name or key.lstrip("+")
    if isinstance(sweep, IntervalSweep):
        return _interval(override, key, named)
    if isinstance(sweep, RangeSweep) and not sweep.shuffle:
        return _range(override, key, named)
    texts = values_of(override)
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
    texts = values_of(override)  # refuses what cannot be listed
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
