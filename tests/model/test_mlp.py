import pytest
import torch
from torch import nn

from image_sweeps.config.problems import ConfigError
from image_sweeps.dataset import Shape
from image_sweeps.model import build, summary
from tests.support.configurations import choices, config_of

SHAPE = Shape(3, 8, 8)
FAMILY = [model for model in choices("model") if model.startswith("mlp")]


def network(*overrides):
    return build(config_of(*overrides), SHAPE, 10, torch.device("cpu"))


def layers(*overrides):
    return summary.layers(network(*overrides), SHAPE)


def test_mlp_is_the_baseline_of_the_study():
    assert [(layer.type, layer.output_shape, layer.num_parameters) for layer in layers("model=mlp")] == [
        ("Flatten", (192,), 0),
        ("Linear", (512,), 192 * 512 + 512),
        ("ReLU", (512,), 0),
        ("Linear", (256,), 512 * 256 + 256),
        ("ReLU", (256,), 0),
        ("Linear", (10,), 256 * 10 + 10),
    ]


@pytest.mark.parametrize(
    ("model", "block"),
    [
        ("mlp", ["Linear", "ReLU"]),
        ("mlp_dropout", ["Linear", "ReLU", "Dropout"]),
        ("mlp_dropout_l2", ["Linear", "ReLU", "Dropout"]),
        ("mlp_batch", ["Linear", "BatchNorm1d", "ReLU"]),
        ("mlp_dropout_batch", ["Linear", "BatchNorm1d", "ReLU", "Dropout"]),
    ],
)
def test_a_variant_adds_its_layers_to_each_hidden_one(model, block):
    assert [layer.type for layer in layers(f"model={model}")] == ["Flatten", *block, *block, "Linear"]


@pytest.mark.parametrize("model", FAMILY)
def test_the_family_is_one_module_without_convolution(model):
    assert config_of(f"model={model}").model.target == "image_sweeps.model.mlp.MLP"
    assert not any(isinstance(m, nn.Conv2d) for m in network(f"model={model}").modules())


def test_the_variants_are_settings_of_mlp():
    spellings = {
        "mlp_dropout": ["model.dropout=0.5"],
        "mlp_batch": ["norm=batch"],
        "mlp_dropout_batch": ["model.dropout=0.5", "norm=batch"],
        "mlp_dropout_l2": ["model.dropout=0.5", "l2=0.0001"],
    }
    assert {"mlp", *spellings} == set(FAMILY)
    for model, overrides in spellings.items():
        assert config_of(f"model={model}").scientific() == config_of("model=mlp", *overrides).scientific()


def test_the_command_line_wins_over_the_penalty_of_a_variant():
    assert config_of("model=mlp_dropout_l2", "l2=0.1").l2 == 0.1


def test_dropout_zeroes_its_share_in_training_alone():
    (dropout, _) = [m for m in network("model=mlp", "model.dropout=0.25").modules() if isinstance(m, nn.Dropout)]
    ones = torch.ones(100_000)
    dropped = dropout.train()(ones)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)
    assert torch.equal(dropout.eval()(ones), ones)


def test_it_computes_what_the_same_layers_written_out_compute():
    net = network("model=mlp", "model.hidden=[7,6,5]", "norm=layer", "activation=tanh")
    torch.manual_seed(0)
    written = nn.Sequential(
        nn.Flatten(),
        *[nn.Linear(192, 7), nn.LayerNorm(7), nn.Tanh()],
        *[nn.Linear(7, 6), nn.LayerNorm(6), nn.Tanh()],
        *[nn.Linear(6, 5), nn.LayerNorm(5), nn.Tanh()],
        nn.Linear(5, 10),
    )
    images = torch.rand(4, *SHAPE)
    torch.testing.assert_close(net(images.to(memory_format=torch.channels_last)), written(images))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.dropout=1"], r"model\.dropout = 1: must be less than 1"),
        (["model.dropout=-0.1"], r"model\.dropout = -0\.1: must be greater than or equal to 0"),
        (["model.hidden=[]"], r"model\.hidden = \[\]: .*at least 1"),
        (["model.hidden=[8,0]"], r"model\.hidden\.1 = 0: must be greater than 0"),
        (["model.hidden=[9]", "norm=group"], r"norm\.num_groups = 2: must divide the 9 channels"),
        (["model.hidden=[4]", "norm=group"], r"norm\.num_groups = 2: would normalise over 2 values of a vector"),
    ],
)
def test_what_cannot_be_built_is_refused_by_its_key(overrides, message):
    with pytest.raises(ConfigError, match=message):
        config_of("model=mlp", *overrides)
