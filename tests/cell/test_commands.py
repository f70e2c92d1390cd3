"""Every command that a report prints is read by what it is meant for: the shell, then Hydra's grammar."""

import shlex

import pytest

from image_sweeps.cell import commands
from image_sweeps.config.composition import composed, hydra_at
from image_sweeps.config.overrides import parse
from tests.support.configurations import config_of


def overrides_of(command):
    python, dash_m, entry, *overrides = shlex.split(command)
    assert (python, dash_m, entry) == ("python", "-m", "src.train")
    return overrides


def test_a_cell_is_run_again_by_its_overrides_without_those_of_its_sweep():
    command = commands.of_cell(["model=cnn", "dataset.path='a b.zip'", "resume=last", "retries=2"])
    assert overrides_of(command) == ["model=cnn", "dataset.path='a b.zip'"]


@pytest.mark.parametrize(
    ("seeds", "wanted"),
    [
        (["0"], "seed=range(5)"),
        (["0", "1", "2"], "seed=range(5)"),
        (["2", "0", "1"], "seed=range(5)"),
        (["7"], "seed=7,8,9,10,11"),
        (["0", "9"], "seed=0,9,10,11,12"),
    ],
)
def test_more_seeds_are_asked_for_beside_those_there_are(seeds, wanted):
    command = commands.with_more_seeds("python -m src.train -m model=cnn,mlp seed=0", seeds, "some-id")
    assert overrides_of(command) == ["-m", "model=cnn,mlp", wanted, "resume=some-id"]


def test_a_sweep_is_finished_by_its_own_command():
    command = commands.to_finish("python -m src.train -m 'seed=range(3)' resume=last dry_run=true", "some-id")
    assert overrides_of(command) == ["-m", "seed=range(3)", "resume=some-id"]


def flat(tree, prefix=""):
    found = {}
    for key, value in tree.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": str(value)}
    return found


def test_a_run_is_made_again_from_its_parameters():
    """Parameters are kept as Python prints them: lists, None, True, words with spaces."""
    asked = (
        *("model=mlp", "model.hidden=[32,16]", "optimizer=adam", "optimizer.lr=0.02", "scheduler=cosine"),
        *("early_stopping.patience=3", "regularize_all=false", "clip_grad_norm=1.5", "epochs=7"),
    )
    with hydra_at():
        recorded, plain = composed(asked), composed(["model=mlp", "optimizer=adam", "scheduler=cosine"])
    params = {**recorded.choices, **flat(recorded.raw), "num_parameters": "7"}
    overrides = overrides_of(commands.of_params(params, flat(plain.raw)))
    assert config_of(*overrides).scientific() == recorded.config.scientific()
    assert len(overrides) == 7 + 6  # the groups, and what was set
    everything = overrides_of(commands.of_params(params, {}))
    assert config_of(*everything).scientific() == recorded.config.scientific()


def test_a_path_with_spaces_and_quotes_survives_shell_and_grammar():
    path = "/data/it's a set, [v2].zip"
    params = {"dataset": "image_zip", "dataset.path": path}
    (_, override) = overrides_of(commands.of_params(params, {}))
    with hydra_at():
        assert parse([override])[0].value() == path
