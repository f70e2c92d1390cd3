import itertools

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
