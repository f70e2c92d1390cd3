import itertools

import pytest
import yaml

from src.command_line import checked_arguments
from src.compose import hydra_at
from src.sweep.plan import plan


def test_a_grid_is_the_product_of_its_factors(hydra_conf):
    planned = plan(["model=cnn,cnn_batch", "optimizer.lr=0.1,0.2", "seed=range(3)", "epochs=2"])
    assert planned.factors == {
        "model": ("model=cnn", "model=cnn_batch"),
        "optimizer.lr": ("optimizer.lr=0.1", "optimizer.lr=0.2"),
        "seed": ("seed=0", "seed=1", "seed=2"),
    }
    asked = set(itertools.product((None, "src.norm.BatchNorm"), (0.1, 0.2), range(3)))
    found = {
        (c.config.norm.target if "Batch" in c.config.norm.target else None, c.config.optimizer.lr, c.config.seed)
        for c in planned.cells
    }
    assert found == asked
    assert len(planned.cells) == 12
    assert {c.config.epochs for c in planned.cells} == {2}


def test_arms_that_are_the_same_cell_are_planned_once(hydra_conf):
    planned = plan(["model=cnn,cnn_batch", "norm=none,batch"])
    assert [cell.name for cell in planned.cells] == ["model=cnn norm=none", "model=cnn norm=batch"]
    assert planned.num_duplicates == 2


def test_the_last_override_of_a_key_counts(hydra_conf):
    assert [cell.config.seed for cell in plan(["seed=1,2", "seed=3"]).cells] == [3]


def test_a_list_is_a_value_and_not_a_sweep(hydra_conf):
    planned = plan(["model.channels=[8,16],[8,8]"])
    assert [cell.config.model.channels for cell in planned.cells] == [(8, 16), (8, 8)]


def test_a_glob_sweeps_over_choices(hydra_conf):
    assert len(plan(["activation=glob(*lu)"]).cells) == len(plan(["activation=elu,gelu,leaky_relu,relu,silu"]).cells)


@pytest.fixture
def recipes(tmp_path):
    """Two experiments, each with a grid of its own."""
    (tmp_path / "experiment").mkdir()
    for name, epochs, grid in (
        ("one", 1, {"activation": "relu,tanh", "seed": "range(2)"}),
        ("two", 2, {"seed": "7,8"}),
    ):
        recipe = {"epochs": epochs, "hydra": {"sweeper": {"params": grid}}}
        (tmp_path / "experiment" / f"{name}.yaml").write_text("# @package _global_\n" + yaml.safe_dump(recipe))
    with hydra_at(extra_dir=tmp_path):
        yield


def test_an_experiment_may_declare_a_grid(recipes):
    planned = plan(["experiment=one"])
    assert [cell.name for cell in planned.cells] == [
        f"activation={activation} seed={seed}" for activation in ("relu", "tanh") for seed in (0, 1)
    ]


def test_the_command_line_wins_over_a_declared_grid(recipes):
    assert [cell.config.seed for cell in plan(["experiment=two", "seed=3"]).cells] == [3]


def test_several_experiments_each_bring_their_own_grid(recipes):
    planned = plan(["experiment=one,two"])
    assert [(cell.config.epochs, cell.config.seed) for cell in planned.cells] == [
        *[(1, 0), (1, 1), (1, 0), (1, 1)],
        *[(2, 7), (2, 8)],
    ]


def test_a_declared_grid_needs_a_sweep(tmp_path, capsys):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "one.yaml").write_text(
        "# @package _global_\nhydra: {sweeper: {params: {seed: '1,2'}}}\n"
    )
    with pytest.raises(SystemExit):
        checked_arguments(["--config-dir", str(tmp_path), "experiment=one"])
    assert "this configuration sweeps over seed; add -m to run it" in capsys.readouterr().err
    checked_arguments(["--config-dir", str(tmp_path), "experiment=one", "hydra.sweeper.params=null"])
