import pytest

from image_sweeps.config.composition import hydra_at
from image_sweeps.config.overrides import parse
from image_sweeps.config.problems import ConfigError
from image_sweeps.search.space import Choice, Integer, Real, Space, parameter_of


def of(text):
    with hydra_at():
        (override,) = parse([text])
        return parameter_of(override)


@pytest.mark.parametrize(
    ("text", "parameter"),
    [
        ("a=interval(0,0.8)", Real("a", "a", 0.0, 0.8, None, False)),
        ("a=tag(log,interval(1e-4,1))", Real("a", "a", 1e-4, 1.0, None, True)),
        ("a=int(interval(2,9))", Integer("a", "a", 2, 9, 1, False)),
        ("a=int(tag(log,interval(2,900)))", Integer("a", "a", 2, 900, 1, True)),
        ("a=range(1,4)", Integer("a", "a", 1, 3, 1, False)),
        ("a=range(50,250,50)", Integer("a", "a", 50, 200, 50, False)),
        ("a=range(4,0,-1)", Integer("a", "a", 1, 4, 1, False)),
        ("a=range(0.0,0.5,0.1)", Real("a", "a", 0.0, 0.4, 0.1, False)),
        ("a=tag(log,range(1,9))", Integer("a", "a", 1, 8, 1, True)),
        ("a=x,y", Choice("a", "a", ("x", "y"))),
        ("a=choice([1,2],[3])", Choice("a", "a", ("[1,2]", "[3]"))),
        ("+a=x,y", Choice("+a", "a", ("x", "y"))),
        ("a=x", "a=x"),
        ("a=choice(x)", "a=x"),
        ("a=x,x", "a=x"),
        ("a=range(3,4)", "a=3"),
    ],
)
def test_an_override_makes_a_parameter_or_stands_as_it_is(text, parameter):
    assert of(text) == (pytest.approx(parameter) if isinstance(parameter, float) else parameter)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a=interval(2,1)", "a=interval(2,1): the lower end has to be below the upper one"),
        ("a=interval(1,1)", "a=interval(1,1): the lower end has to be below the upper one"),
        ("a=interval(0,inf)", "a=interval(0,inf): needs finite ends"),
        ("a=tag(log,interval(0,1))", "a=tag(log,interval(0,1)): a logarithm needs ends above 0"),
        ("a=tag(lag,interval(0,1))", "a=tag(lag,interval(0,1)): the tag lag says nothing here; log is the only one"),
        ("a=tag(log,range(1,9,2))", "a=tag(log,range(1,9,2)): a range in logarithms has steps of 1"),
        ("a=range(1,1e9)", "a=range(1,1e9): has 999999999 values"),
    ],
)
def test_what_makes_no_parameter_is_refused(text, problem):
    with pytest.raises(ConfigError) as raised:
        of(text)
    assert problem in str(raised.value)


MODEL = Choice("model", "model", ("cnn", "mlp"))
LR = Real("lr", "lr", 1e-4, 1.0, None, True)
DROPOUT = Choice("dropout", "dropout if model=mlp", ("0.1", "0.2"))
SIZE = Integer("size", "size", 1, 3, 1, False)


def space_of(*always, when=None):
    every = [*always, *(p for inner in (when or {}).values() for p in inner)]
    return Space({parameter.name: parameter.name for parameter in every}, always, when or {})


CONDITIONAL = space_of(MODEL, SIZE, when={("model", "mlp"): (DROPOUT,)})


def test_a_parameter_is_there_only_with_the_choice_that_it_belongs_to():
    cnn = CONDITIONAL.walk(lambda parameter: parameter.probes()[0])
    mlp = CONDITIONAL.walk(lambda parameter: parameter.probes()[-1])
    assert CONDITIONAL.overrides(cnn) == ["model=cnn", "size=1"]
    assert CONDITIONAL.overrides(mlp) == ["model=mlp", "size=3", "dropout=0.2"]
    assert CONDITIONAL.is_whole(cnn)
    assert not CONDITIONAL.is_whole({"model": "mlp", "size": 1})


def test_a_grid_has_every_point_once():
    grid = [tuple(CONDITIONAL.overrides(point)) for point in CONDITIONAL.grid()]
    assert len(grid) == len(set(grid)) == 3 + 3 * 2
    assert grid[:3] == [("model=cnn", f"size={size}") for size in (1, 2, 3)]
    assert grid[3] == ("model=mlp", "size=1", "dropout=0.1")


def test_a_space_with_an_interval_has_no_grid():
    assert space_of(MODEL, LR).grid() is None


def test_probes_are_all_combinations_of_choices_and_ends():
    space = space_of(MODEL, LR)
    assert [space.overrides(point) for point in space.probes(10)] == [
        [f"model={model}", f"lr={lr}"] for model in ("cnn", "mlp") for lr in ("0.0001", "1.0")
    ]


def test_of_too_many_every_value_is_probed_once_where_it_is_there():
    points = CONDITIONAL.probes(3)
    assert all(CONDITIONAL.is_whole(point) for point in points)
    probed = {text for point in points for text in CONDITIONAL.overrides(point)}
    assert probed == {"model=cnn", "model=mlp", "size=1", "size=3", "dropout=0.1", "dropout=0.2"}


def test_a_number_is_written_to_its_last_digit():
    value = 0.012345678901234567
    assert LR.text(value) == f"{value!r}"
    assert float(LR.text(value)) == value
