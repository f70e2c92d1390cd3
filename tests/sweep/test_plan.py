import itertools
from contextlib import ExitStack

import pytest
import yaml
from hydra import compose

from image_sweeps.command_line import checked_arguments
from image_sweeps.config import composition_cache as bases
from image_sweeps.config.composition import composed, hydra_at
from image_sweeps.config.problems import ConfigError
from image_sweeps.dataset.digits import Digits
from image_sweeps.sweep.plan import plan
from tests.support.configurations import choices


def test_a_grid_is_the_product_of_its_factors(hydra_conf):
    planned = plan(["model=cnn,cnn_batch", "optimizer.lr=0.1,0.2", "seed=range(3)", "epochs=2"])
    assert planned.factors == {
        "model": ("model=cnn", "model=cnn_batch"),
        "optimizer.lr": ("optimizer.lr=0.1", "optimizer.lr=0.2"),
        "seed": ("seed=0", "seed=1", "seed=2"),
    }
    asked = set(itertools.product((None, "image_sweeps.norm.BatchNorm"), (0.1, 0.2), range(3)))
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


def test_a_value_given_twice_is_one_value(hydra_conf):
    planned = plan(["early_stopping.patience=null,null", "seed=1,2,1"])
    assert [(c.config.seed, c.config.early_stopping.patience) for c in planned.cells] == [(1, None), (2, None)]
    assert list(planned.factors) == ["seed"]
    assert planned.num_duplicates == 0


def test_the_last_override_of_a_key_counts(hydra_conf):
    assert [cell.config.seed for cell in plan(["seed=1,2", "seed=3"]).cells] == [3]


def test_a_list_is_a_value_and_not_a_sweep(hydra_conf):
    planned = plan(["model.channels=[8,16],[8,8]"])
    assert [cell.config.model.channels for cell in planned.cells] == [(8, 16), (8, 8)]


def test_a_glob_sweeps_over_choices(hydra_conf):
    assert len(plan(["activation=glob(*lu)"]).cells) == len(plan(["activation=elu,gelu,leaky_relu,relu,silu"]).cells)


@pytest.mark.parametrize("override", ["seed=range(5,1)", "model=glob(no*)"])
def test_a_sweep_over_nothing_is_refused(hydra_conf, override):
    with pytest.raises(ConfigError) as refused:
        plan([override])
    assert refused.value.problems == (f"{override}: holds no value to try",)


@pytest.fixture
def declared(tmp_path):
    """Plans overrides where these experiments, given as mappings, are known."""
    with ExitStack() as stack:

        def planned(*overrides, **experiments):
            (tmp_path / "experiment").mkdir()
            for name, recipe in experiments.items():
                (tmp_path / "experiment" / f"{name}.yaml").write_text("# @package _global_\n" + yaml.safe_dump(recipe))
            stack.enter_context(hydra_at(extra_dir=tmp_path))
            return plan(overrides)

        yield planned


def sweeping(params=None, blocks=None, **values):
    return {**values, "hydra": {"sweeper": {"params": params, "blocks": blocks}}}


ONE = sweeping({"activation": "relu,tanh", "seed": "range(2)"}, epochs=1)
TWO = sweeping({"seed": "7,8"}, epochs=2)
LR = "optimizer.lr"
BLOCKS = [{"model": "cnn", LR: "0.01,0.1"}, {"model": "cnn_batch", LR: "0.1,1.0"}]


def names(planned):
    return [cell.name for cell in planned.cells]


def test_an_experiment_may_declare_a_grid(declared):
    planned = declared("experiment=one", one=ONE)
    assert names(planned) == [f"activation={a} seed={seed}" for a in ("relu", "tanh") for seed in (0, 1)]


def test_the_command_line_wins_over_a_declared_grid(declared):
    assert [cell.config.seed for cell in declared("experiment=two", "seed=3", two=TWO).cells] == [3]


def test_the_command_line_wins_over_a_part_of_what_is_declared(declared):
    recipe = sweeping({"early_stopping": "{patience: 1},{patience: 2}"})
    planned = declared("experiment=one", "early_stopping.patience=9", one=recipe)
    assert [cell.config.early_stopping.patience for cell in planned.cells] == [9]
    assert planned.num_duplicates == 1


def test_several_experiments_each_bring_their_own_grid(declared):
    planned = declared("experiment=one,two", one=ONE, two=TWO)
    assert [(cell.config.epochs, cell.config.seed) for cell in planned.cells] == [
        *[(1, 0), (1, 1), (1, 0), (1, 1)],
        *[(2, 7), (2, 8)],
    ]
    assert planned.cells[0].name == "experiment=one activation=relu seed=0"


def test_values_of_a_grid_need_not_be_text(declared):
    params = {"early_stopping.patience": None, "regularize_all": False, "optimizer.betas": [0.8, 0.9], LR: 0.5}
    (cell,) = declared("experiment=one", "optimizer=adam", one=sweeping(params)).cells
    assert (cell.config.early_stopping.patience, cell.config.regularize_all) == (None, False)
    assert (cell.config.optimizer.betas, cell.config.optimizer.lr) == ((0.8, 0.9), 0.5)


def test_blocks_are_a_union_of_grids(declared):
    planned = declared("experiment=one", "batch_size=50,100", one=sweeping({"seed": "range(2)"}, BLOCKS))
    expected = [
        f"model={model} optimizer.lr={lr} seed={seed} batch_size={size}"
        for size in (50, 100)
        for model, rates in (("cnn", (0.01, 0.1)), ("cnn_batch", (0.1, 1.0)))
        for lr in rates
        for seed in (0, 1)
    ]
    assert names(planned) == expected
    assert planned.factors[LR] == ("optimizer.lr=0.01", "optimizer.lr=0.1", "optimizer.lr=1.0")
    assert list(planned.factors) == ["model", LR, "seed", "batch_size"]


def test_the_command_line_wins_over_blocks(declared):
    planned = declared("experiment=one", "optimizer.lr=0.5", one=sweeping(None, BLOCKS))
    assert names(planned) == ["model=cnn", "model=cnn_batch"]
    assert {cell.config.optimizer.lr for cell in planned.cells} == {0.5}
    assert planned.num_duplicates == 0


def test_what_the_command_line_leaves_alike_of_blocks_is_run_once(declared):
    planned = declared("experiment=one", "model=mlp", one=sweeping(None, BLOCKS))
    assert names(planned) == ["optimizer.lr=0.01", "optimizer.lr=0.1", "optimizer.lr=1.0"]
    assert planned.num_duplicates == 1


def test_a_block_wins_over_params(declared):
    planned = declared("experiment=one", one=sweeping({"seed": "1,2", "epochs": "3"}, [{"seed": "5"}, {"epochs": "4"}]))
    assert [(cell.config.seed, cell.config.epochs) for cell in planned.cells] == [(5, 3), (1, 4), (2, 4)]


def test_a_key_that_a_block_does_not_name_is_no_level_of_its_cells(declared):
    blocks = [{}, {"model": "mlp_dropout", "model.dropout": "0.25,0.5"}, {"seed": "1"}]
    planned = declared("experiment=one", one=sweeping(None, blocks))
    assert [cell.levels for cell in planned.cells] == [
        {},
        {"model": "mlp_dropout", "model.dropout": "0.25"},
        {"model": "mlp_dropout", "model.dropout": "0.5"},
        {"seed": "1"},
    ]
    assert planned.cells[0].choices["model"] == "cnn"  # as conf/config.yaml has it
    assert planned.factors == {
        "model": ("model=mlp_dropout",),
        "model.dropout": ("model.dropout=0.25", "model.dropout=0.5"),
        "seed": ("seed=1",),
    }


def test_blocks_of_several_experiments_each_count_for_their_own(declared):
    planned = declared("experiment=one,two", one=sweeping({"seed": "0,1"}, BLOCKS[:1]), two=TWO)
    assert names(planned) == [
        *[f"experiment=one model=cnn optimizer.lr={lr} seed={seed}" for lr in (0.01, 0.1) for seed in (0, 1)],
        *[f"experiment=two seed={seed}" for seed in (7, 8)],
    ]


def test_blocks_may_stand_on_the_command_line(hydra_conf):
    texts = ", ".join(f"{{model: {block['model']}, {LR}: '{block[LR]}'}}" for block in BLOCKS)
    planned = plan([f"hydra.sweeper.blocks=[{texts}]", "hydra.sweeper.params={seed: 'range(2)'}"])
    assert len(planned.cells) == 8
    assert planned.cells[0].name == "model=cnn optimizer.lr=0.01 seed=0"


@pytest.mark.parametrize(
    ("sweeper", "problem"),
    [
        ({"blocks": []}, "hydra.sweeper.blocks = []: must be a list of grids, as in [{model: cnn, "),
        ({"blocks": {"seed": "1,2"}}, "hydra.sweeper.blocks = {'seed': '1,2'}: must be a list of grids"),
        ({"blocks": ["seed=1"]}, "hydra.sweeper.blocks[0] = 'seed=1': must be a mapping of overrides, as in {model: "),
        ({"params": ["seed=1"]}, "hydra.sweeper.params = ['seed=1']: must be a mapping of overrides"),
        ({"params": {"seed": "${nowhere}"}}, "hydra.sweeper.params: Interpolation key 'nowhere' not found"),
        ({"params": {"seed": "range("}}, "hydra.sweeper.params: seed=range(: is not in Hydra's override grammar"),
        ({"params": {"seed": "interval(1,2)"}}, "hydra.sweeper.params: seed=interval(1,2): a grid needs values to try"),
        ({"blocks": [{"hydra.verbose": "true"}]}, "hydra.sweeper.blocks[0]: hydra.verbose=true: Hydra's own keys are"),
        ({"blocks": [{"modle": "cnn"}, {"seed": "1"}]}, "modle: there is no such key. Did you mean model?"),
        ({"blocks": [{"model": "cnnn"}, {"seed": "1"}]}, "model=cnnn: there is no such choice. Did you mean cnn?"),
    ],
)
def test_a_declared_grid_that_is_none_is_refused(declared, sweeper, problem):
    with pytest.raises(ConfigError) as refused:
        declared("experiment=one", one={"hydra": {"sweeper": sweeper}})
    (found,) = refused.value.problems
    assert found.startswith(problem)


def test_a_cell_is_reproduced_by_its_overrides(declared):
    experiments = {"one": sweeping({"seed": "1"}, BLOCKS, epochs=2), "two": {**TWO, "retries": 1}}
    planned = declared("experiment=one,two", "++l2=0.1", "retries=1", "tracking.experiment='a, b'", **experiments)
    assert len(planned.cells) == 4 + 2
    for cell in planned.cells:
        assert not any("retries" in text for text in (*cell.overrides, cell.name, *cell.levels))
        alone = plan(cell.overrides)
        assert [again.id for again in alone.cells] == [cell.id]
        assert alone.factors == {}


def test_choices_may_stand_elsewhere(hydra_conf, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "small.yaml").write_text("defaults: [cnn]\nchannels: [2, 2]\n")
    planned = plan([f"hydra.searchpath=[file://{tmp_path}]", "model=small,cnn"])
    assert [cell.config.model.channels for cell in planned.cells] == [(2, 2), (16, 32)]
    assert [plan(cell.overrides).cells[0].id for cell in planned.cells] == [cell.id for cell in planned.cells]
    assert composed(planned.cells[0].overrides).raw == planned.cells[0].raw


def test_how_a_sweep_is_run_changes_no_cell(hydra_conf):
    (plain,) = plan(["seed=1"]).cells
    (told,) = plan(["seed=1", "resume=last", "retries=3", "dry_run=true"]).cells
    assert (told.id, told.name, told.overrides) == (plain.id, plain.name, plain.overrides)
    assert (told.config.resume, told.config.retries, told.config.dry_run) == ("last", 3, True)


@pytest.mark.parametrize("override", ["retries=1,2", "resume=last,null", "dry_run=true,false", "cell_timeout_s=1,2"])
def test_how_a_sweep_is_run_cannot_be_swept(hydra_conf, override):
    with pytest.raises(ConfigError, match=f"{override.split('=')[0]}: cannot be swept; it says how the whole sweep"):
        plan([override, "seed=0,1"])


def test_what_belongs_to_the_sweep_is_the_same_in_all_cells(declared):
    with pytest.raises(ConfigError, match="retries: is not the same in all cells") as refused:
        declared("experiment=one,two", one={"retries": 1, "outputs_dir": "x"}, two={"retries": 2})
    assert [problem.split(":")[0] for problem in refused.value.problems] == ["retries", "outputs_dir"]


def test_a_plus_before_a_key_makes_no_other_key(hydra_conf):
    planned = plan(["++seed=0,1", "++epochs=2"])
    assert planned.factors == {"seed": ("seed=0", "seed=1")}
    assert [cell.levels for cell in planned.cells] == [{"seed": "0"}, {"seed": "1"}]


def test_a_declared_grid_needs_a_sweep(tmp_path, capsys):
    (tmp_path / "experiment").mkdir()
    recipe = sweeping({"seed": "1,2"}, [{"model": "cnn"}, {"model": "mlp"}])
    (tmp_path / "experiment" / "one.yaml").write_text("# @package _global_\n" + yaml.safe_dump(recipe))
    asked = ["--config-dir", str(tmp_path), "experiment=one"]
    with pytest.raises(SystemExit):
        checked_arguments(asked)
    none = ["hydra.sweeper.params=null", "hydra.sweeper.blocks=null"]
    refusal = f"this configuration sweeps over model, seed; add -m to run it, or {' '.join(none)} for one cell"
    assert refusal in capsys.readouterr().err
    checked_arguments([*asked, *none])


def test_a_large_grid_is_composed_from_few(hydra_conf, monkeypatch):
    composed = []
    monkeypatch.setattr(bases, "compose", lambda *a, **k: composed.append(a) or compose(*a, **k))
    activations = choices("activation")
    planned = plan(
        ["model=cnn,cnn_batch", f"activation={','.join(activations)}", "optimizer.lr=0.1,0.2", "seed=range(9)"]
    )
    assert len(planned.cells) == 2 * len(activations) * 2 * 9
    assert len(composed) == 2 * len(activations)  # cnn_batch chooses a norm, so that each model is composed with each


def test_a_data_set_is_looked_at_once_for_all_its_splits(hydra_conf, monkeypatch):
    looked = []
    monkeypatch.setattr(Digits, "prepare", lambda source: looked.append(source))
    planned = plan(["dataset.folds=3", "dataset.fold=range(3)", "dataset.split_seed=0,1"])
    assert len({cell.id for cell in planned.cells}) == 6
    assert len(looked) == 1
