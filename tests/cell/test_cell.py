from shutil import copy

import pytest
import torch
from torch import nn

from image_sweeps.cell.cell import Cell, SweepContext, identity
from image_sweeps.config.composition import composed, hydra_at
from image_sweeps.dataset import Shape
from tests.support.configurations import config_of


def cell_of(*overrides, varied=()):
    with hydra_at():
        return Cell.of(composed(overrides), overrides, "fingerprint", varied)


def test_the_same_cell_has_the_same_id_however_it_is_spelled():
    spellings = [
        ["model=cnn_batch", "optimizer.lr=0.1"],
        ["model=cnn", "norm=batch", "optimizer.lr=1e-1"],
        ["norm=batch", "++optimizer.lr=0.10", "optimizer=sgd"],
    ]
    assert len({identity(config_of(*overrides), "f") for overrides in spellings}) == 1


@pytest.mark.parametrize(
    "override",
    ["seed=1", "epochs=6", "batch_size=50", "model.kernel_size=3", "optimizer.lr=0.2", "dataset.split_seed=1"],
)
def test_what_can_change_the_result_changes_the_id(override):
    assert identity(config_of(override), "f") != identity(config_of(), "f")


def test_weights_to_begin_with_count_by_their_content(tmp_path):
    net = config_of("model=resnet18").model.build(Shape(1, 16, 16), 10, nn.ReLU, config_of("norm=batch").norm.build())
    for name, scale in (("a.pt", 1), ("c.pt", 2)):
        torch.save({key: value * scale for key, value in net.state_dict().items()}, tmp_path / name)
    copy(tmp_path / "a.pt", tmp_path / "b.pt")
    settings = ("model=resnet18", "model.stem=small")
    a, b, c = (identity(config_of(*settings, f"model.weights={tmp_path}/{name}.pt"), "f") for name in "abc")
    assert a == b != c


def test_other_data_is_another_cell():
    assert identity(config_of(), "f") != identity(config_of(), "g")


@pytest.mark.parametrize("override", ["outputs_dir=x", "data_dir=y", "device=cpu", "tracking.experiment=z"])
def test_where_it_runs_and_is_kept_does_not_change_the_id(override):
    assert identity(config_of(override), "f") == identity(config_of(), "f")


@pytest.mark.parametrize(
    ("overrides", "varied", "name"),
    [
        (["model=cnn_batch", "seed=1", "epochs=3"], ["model=cnn_batch", "seed=1"], "model=cnn_batch seed=1"),
        (["seed=1", "outputs_dir=x", "tracking.experiment=y"], [], "seed=1"),
        (["outputs_dir=x"], [], "model=cnn"),
    ],
)
def test_a_cell_is_named_by_what_is_special_in_it(overrides, varied, name):
    assert cell_of(*overrides, varied=varied).name == name


def test_a_frozen_cell_thaws_to_the_same(tmp_path):
    from dataclasses import replace

    cell = replace(cell_of("model=cnn_batch"), sweep=SweepContext("sweep", 1, 2))
    cell.save(tmp_path)
    assert Cell.load(tmp_path) == cell


def test_a_folder_without_a_plan_has_no_cell(tmp_path):
    assert Cell.load(tmp_path) is None
