import pytest
import torch
from torch import nn

from image_sweeps.config.problems import ConfigError
from image_sweeps.dataset import Shape
from image_sweeps.model import build, summary
from tests.support.configurations import config_of

SHAPE = Shape(1, 16, 16)


def layers(*overrides):
    return summary.layers(build(config_of(*overrides), SHAPE, 10, torch.device("cpu")), SHAPE)


def test_cnn_is_the_plain_network_of_the_study():
    assert [(layer.type, layer.output_shape, layer.num_parameters) for layer in layers("model=cnn")] == [
        ("Conv2d", (16, 16, 16), 16 * 25 + 16),
        ("ReLU", (16, 16, 16), 0),
        ("MaxPool2d", (16, 8, 8), 0),
        ("Conv2d", (32, 8, 8), 32 * 16 * 25 + 32),
        ("ReLU", (32, 8, 8), 0),
        ("MaxPool2d", (32, 4, 4), 0),
        ("Flatten", (512,), 0),
        ("Linear", (10,), 512 * 10 + 10),
    ]


def test_cnn_batch_has_batch_norm_before_each_activation_and_on_the_output():
    assert [layer.type for layer in layers("model=cnn_batch")] == [
        *["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"] * 2,
        *["Flatten", "Linear", "BatchNorm1d"],
    ]


def test_cnn_batch_is_cnn_with_norm_batch():
    assert config_of("model=cnn_batch").scientific() == config_of("model=cnn", "norm=batch").scientific()
    assert config_of("model=cnn_batch", "norm=none").scientific() == config_of("model=cnn").scientific()


def test_it_computes_what_the_same_layers_written_out_compute():
    net = build(config_of("model=cnn_batch"), SHAPE, 10, torch.device("cpu"))
    torch.manual_seed(0)
    written = nn.Sequential(
        *[nn.Conv2d(1, 16, 5, padding=2), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)],
        *[nn.Conv2d(16, 32, 5, padding=2), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)],
        *[nn.Flatten(), nn.Linear(512, 10), nn.BatchNorm1d(10)],
    )
    images = torch.rand(8, 1, 16, 16)
    torch.testing.assert_close(net(images), written(images))


def test_the_norm_can_be_kept_off_the_output():
    assert layers("model=cnn_batch", "model.norm_output=false")[-1].type == "Linear"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.kernel_size=4"], r"model\.kernel_size = 4: must be odd"),
        (
            ["model.channels=[8,8,8]", "dataset.image_size=7"],
            r"dataset\.image_size = 7: too small for the 3 poolings of model\.channels = \[8, 8, 8\], which need at "
            r"least 8",
        ),
        (["norm=group", "norm.num_groups=5"], r"norm\.num_groups = 5: must divide the 16 channels"),
        (["norm=group", "norm.num_groups=4"], r"norm\.num_groups = 4: must divide the 10 channels"),
        (["model.channels=[]"], r"model\.channels = \[\]: .*at least 1"),
    ],
)
def test_what_cannot_be_built_is_refused_by_its_key(overrides, message):
    with pytest.raises(ConfigError, match=message):
        config_of("model=cnn", *overrides)
