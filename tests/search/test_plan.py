import sys

import pytest

from image_sweeps.config.composition import hydra_at
from image_sweeps.config.problems import ConfigError
from tests.support.searches import LR, planned

pytest.importorskip("optuna")


@pytest.fixture(autouse=True)
def _conf(hydra_conf):
    """Hydra, knowing conf/."""


def refused(*overrides):
    with pytest.raises(ConfigError) as raised:
        planned(*overrides)
    return str(raised.value)


def test_the_command_line_says_what_varies_and_what_is_fixed():
    plan = planned(LR, "norm=none,batch", "epochs=3")
    assert plan.space.said == {"optimizer.lr": "0.0001 to 1, logarithmic", "norm": "none, batch"}
    assert plan.default.config.epochs == 3
    assert plan.default.choices["norm"] == "none"


def test_the_configuration_may_declare_parameters_and_the_command_line_counts():
    declared = "hydra.sweeper.params={optimizer.lr:'interval(0.1,1)',batch_size:'range(50,150,50)',seed:3}"
    plan = planned(declared, "optimizer.lr=0.01")
    assert plan.space.said == {"batch_size": "50 to 100 in steps of 50"}
    assert (plan.default.config.optimizer.arguments()["lr"], plan.default.config.seed) == (0.01, 3)


def test_a_parameter_may_belong_to_one_choice():
    plan = planned("model=mlp,cnn", "hydra.sweeper.when={model:{mlp:{model.dropout:'interval(0,0.8)'}}}")
    mlp = plan.trial({"model": "mlp", "model.dropout if model=mlp": 0.25}, "trial 0")
    cnn = plan.trial({"model": "cnn"}, "trial 1")
    assert mlp.config.model.arguments()["dropout"] == 0.25
    assert cnn.choices["model"] == "cnn"
    assert plan.space.keys() == ["model", "model.dropout"]


def test_a_trial_is_the_cell_that_its_values_make_by_themselves():
    from image_sweeps.sweep.plan import plan

    trial = planned(LR).trial({"optimizer.lr": 0.0123456789}, "trial 0")
    (cell,) = plan(["dataset.image_size=8", "model=mlp", "epochs=8", "optimizer.lr=0.0123456789"]).cells
    assert trial.id == cell.id
    assert trial.name == "trial 0 optimizer.lr=0.01235"
    assert "optimizer.lr=0.0123456789" in trial.overrides


def test_a_recipe_may_declare_the_search(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nhydra:\n  sweeper:\n    n_trials: 3\n    params: {optimizer.lr: 'interval(0.1, 1)'}\n"
    )
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with hydra_at(extra_dir=tmp_path):
        plan = planned("experiment=mine")
    assert plan.options.n_trials == 3
    assert list(plan.space.said) == ["optimizer.lr"]


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ((), "there is nothing to search: give values or ranges"),
        ((LR, "seed=0,1"), "seed: cannot be searched: no value of it is better; hydra.sweeper.confirm_seeds tries"),
        ((LR, "dataset.fold=0,1"), "dataset.fold: cannot be searched"),
        ((LR, "device=cpu,auto"), "device: cannot be swept; its values would give the same cell"),
        ((LR, "retries=1,2"), "retries: cannot be swept; it says how the whole sweep is run"),
        (
            (LR, "experiment=anime_activations,fashion_batchnorm"),
            "a search takes one recipe, as in experiment=...",
        ),
        ((LR, "experiment=mlp_regularization"), "experiment=mlp_regularization: there is no such choice. Did you mean"),
        ((LR, "experiment=[1]"), "experiment=1: there is no such choice. Choices of experiment: "),
        ((LR, "optimizer.lr=interval(2,1)"), "optimizer.lr=interval(2,1): the lower end has to be below"),
        (("optimizer.lr=interval(-1,1)",), "optimizer.lr = -1.0: must be greater than 0"),
        (("model=mlp,cnn", "model.dropout=interval(0,1)"), "model.dropout: there is no such key."),
        ((LR, "modle=3"), "modle: there is no such key. Did you mean model?"),
        ((LR, "hydra.sweeper.n_trials=0"), "hydra.sweeper.n_trials = 0: must be greater than 0"),
        ((LR, "hydra.sweeper.n_trials=null"), "hydra.sweeper.n_trials = None: a search needs an end"),
        (
            (LR, "hydra.sweeper.objectives=[val/acc]"),
            "hydra.sweeper.objectives.0 = 'val/acc': must be one of 'val/accuracy', 'val/loss', 'parameters'",
        ),
        (
            (LR, "hydra.sweeper.objectives=[val/accuracy,val/accuracy]"),
            "hydra.sweeper.objectives = ['val/accuracy', 'val/accuracy']: val/accuracy is there more than once",
        ),
        (
            (LR, "hydra.sweeper.objectives=[val/accuracy,seconds]"),
            "hydra.sweeper.pruner = 'median': nothing can be pruned by several objectives; add hydra/sweeper/pruner",
        ),
        (
            (LR, "hydra.sweeper.objectives=[seconds]"),
            "hydra.sweeper.pruner = 'median': seconds is not measured after each epoch; add hydra/sweeper/pruner=none",
        ),
        (
            (LR, "hydra/sweeper/sampler=cmaes", "hydra.sweeper.objectives=[val/accuracy,seconds]"),
            "hydra.sweeper.sampler = 'cmaes': knows one objective only",
        ),
        ((LR, "hydra/sweeper/sampler=grid"), "hydra.sweeper.sampler = 'grid': interval(...) has no end of points"),
        ((LR, "hydra.sweeper.sampler.seed=-1"), "hydra.sweeper.sampler.seed = -1: must be greater than or equal to 0"),
        ((LR, "hydra.sweeper.sampler.name=nope"), "hydra.sweeper.sampler.name = 'nope': must be one of 'tpe', 'gp'"),
        ((LR, "hydra.sweeper.pruner.min_epochs=x"), "hydra.sweeper.pruner.min_epochs"),
        ((LR, "hydra.sweeper.storage=here.db"), "hydra.sweeper.storage = 'here.db': must be the address of a database"),
        (
            (LR, "hydra.sweeper.storage='postgresql://me:secret@host/db'"),
            "hydra.sweeper.storage: has a password in it, which every record would show",
        ),
        (
            (LR, "hydra.sweeper.params={batch_size:'interval(2,1)'}"),
            "hydra.sweeper.params: batch_size=interval(2,1): the lower end has to be below",
        ),
        (
            (LR, "hydra.sweeper.when={optimizer:{sgd:{optimizer.momentum:'interval(0,0.9)'}}}"),
            "hydra.sweeper.when.optimizer.sgd: optimizer has to be a parameter with several values",
        ),
        (
            (LR, "optimizer=sgd,adam", "hydra.sweeper.when={optimizer:{sdg:{optimizer.momentum:'interval(0,0.9)'}}}"),
            "hydra.sweeper.when.optimizer.sdg: optimizer is never sdg. Did you mean sgd? It is sgd, adam",
        ),
        (
            (LR, "optimizer=sgd,adam", "hydra.sweeper.when={optimizer:{sgd:{optimizer.lr:'interval(0.1,0.9)'}}}"),
            "hydra.sweeper.when.optimizer.sgd.optimizer.lr: is a parameter of all trials already",
        ),
        (
            (LR, "optimizer=sgd,adam", "hydra.sweeper.when={optimizer:{sgd:{optimizer.momentum:0.9}}}"),
            "hydra.sweeper.when.optimizer.sgd.optimizer.momentum: has nothing to choose",
        ),
    ],
)
def test_what_is_wrong_with_a_search_is_said_before_it_begins(overrides, problem):
    assert problem in refused(*overrides)


def test_all_problems_of_the_options_are_told_at_once():
    told = refused(LR, "hydra.sweeper.n_trials=0", "hydra.sweeper.confirm_seeds=-1", "hydra.sweeper.sampler.seed=x")
    assert "has 3 problems" in told


def test_a_mistake_anywhere_in_the_space_names_where(tmp_path):
    told = refused("optimizer.lr=interval(0.1,1)", "model.dropout=interval(0.5,1.5)")
    assert "model.dropout = 1.5: must be less than" in told
    assert "(in optimizer.lr=0.1 model.dropout=1.5; optimizer.lr=1.0 model.dropout=1.5)" in told


def test_a_password_is_not_repeated():
    assert "secret" not in refused(LR, "hydra.sweeper.storage='postgresql://me:secret@host/db'")


@pytest.mark.parametrize(
    ("missing", "overrides", "problem"),
    [
        ("optuna", (), "hydra/sweeper = 'optuna': Optuna is not installed; pip install -e '.[optuna]' brings it"),
        (
            "cmaes",
            ("hydra/sweeper/sampler=cmaes",),
            "hydra.sweeper.sampler = 'cmaes': the package cmaes is not installed; pip install -e '.[optuna]' brings it",
        ),
    ],
)
def test_what_is_not_installed_is_named_with_what_brings_it(monkeypatch, missing, overrides, problem):
    monkeypatch.setitem(sys.modules, missing, None)
    assert problem in refused(LR, *overrides)
