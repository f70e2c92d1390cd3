"""Nonsense as the value of every key of every choice: refused in words, or of a kind that the key takes."""

import copy
import math

import pytest

from image_sweeps.config.composition import composed, hydra_at
from image_sweeps.config.problems import ConfigError
from image_sweeps.config.schema import GROUPS, Config
from tests.support.archives import two_classes, write_folder, write_zip
from tests.support.configurations import choices

NONSENSE = (
    *(None, True, 0, -1, 2**31, 2**63, 10**30, -(10**30), -0.5, 1e-320, 1e39, 1.7e308, math.nan, math.inf, -math.inf),
    *(
        "",
        " ",
        "x",
        "1",
        "\0",
        "a\0b",
        "\udcff",
        "日本",
        "\u202e",
        "😀",
        "nowhere/..",
        "x" * 5000,
        "[/]",
        "cuda:9" + "9" * 20,
    ),
    *([], [0], [-1], [2**63], [None], ["x"], [[1]], [math.nan], {}, {"a": 1}, {"_target_": "os.system"}, {1: 2}, b"x"),
)


def keys_of(part, above=()):
    for key, value in part.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from keys_of(value, (*above, key))


def changed(raw, path, value):
    raw = copy.deepcopy(raw)
    part = raw
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return raw


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    zipped, unpacked = write_zip(folder / "x.zip", two_classes()), write_folder(folder / "x", two_classes())
    return {"image_zip": [f"dataset.path={zipped}"], "image_folder": [f"dataset.path={unpacked}"]}


@pytest.mark.parametrize(("group", "choice"), [(group, choice) for group in GROUPS for choice in choices(group)])
def test_nonsense_of_every_key_is_refused_in_words_or_accepted(images, group, choice):
    with hydra_at():
        raw = composed([f"{group}={choice}", *images.get(choice, [])]).raw
    everywhere = (group, choice) == ("norm", "none")  # keys outside of the groups are the same for all choices
    num_refused = 0
    for path in keys_of(raw):
        if path[0] != group and (path[0] in GROUPS or not everywhere):
            continue
        for value in NONSENSE:
            try:
                Config.checked(changed(raw, path, value))
            except ConfigError as error:
                num_refused += 1
                text = str(error)
                assert ".".join(path) in text or f"{group}=" in text or f"{group}." in text
                assert text.replace("\n", "").isprintable()
    assert num_refused > len(NONSENSE) / 2


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("optimizer.lr=1e39", "optimizer.lr = 1e+39: must be at most 3.40282e+38, the largest number in float32"),
        ("batch_size=9223372036854775808", "batch_size = 9223372036854775808: must be at most 9223372036854775807"),
        ("model.channels=[9223372036854775808]", "model.channels.0 = 9223372036854775808: must be at most 922337203"),
        ("model.channels=[4611686018427387904]", "model.channels = [4611686018427387904], model.kernel_size = 5, "),
        ("dataset.split_seed=4294967296", "dataset.split_seed = 4294967296: must be less than 4294967296"),
        ("cell_timeout_s=3e6", "cell_timeout_s = 3000000.0: must be less than or equal to 2000000"),
    ],
)
def test_numbers_that_would_fail_in_the_cell_are_refused_before(override, problem):
    with hydra_at(), pytest.raises(ConfigError) as error:
        composed([override])
    assert error.value.problems[0].startswith(problem)


def test_a_file_name_too_long_to_be_one_is_a_file_that_is_not_there():
    with hydra_at(), pytest.raises(ConfigError, match="there is no such file; name an existing one"):
        composed(["model=resnet18", f"model.weights={'x' * 5000}"])
