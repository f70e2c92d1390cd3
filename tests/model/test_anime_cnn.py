import pytest
import torch
from torch import nn

from image_sweeps.dataset import Shape
from image_sweeps.model import build, summary
from tests.support.configurations import config_of

SHAPE = Shape(3, 64, 64)


def network(*overrides):
    return build(config_of("model=anime_cnn", *overrides), SHAPE, 2, torch.device("cpu"))


def test_it_is_the_network_of_the_study():
    assert [(layer.type, layer.output_shape, layer.num_parameters) for layer in summary.layers(network(), SHAPE)] == [
        ("Conv2d", (32, 64, 64), 32 * 3 * 9 + 32),
        ("ReLU", (32, 64, 64), 0),
        ("MaxPool2d", (32, 32, 32), 0),
        ("Conv2d", (64, 32, 32), 64 * 32 * 9 + 64),
        ("ReLU", (64, 32, 32), 0),
        ("MaxPool2d", (64, 16, 16), 0),
        ("Flatten", (64 * 16 * 16,), 0),
        ("Linear", (128,), 64 * 16 * 16 * 128 + 128),
        ("ReLU", (128,), 0),
        ("Linear", (2,), 128 * 2 + 2),
    ]


def test_a_norm_stands_before_every_activation_and_not_on_the_output():
    assert [layer.type for layer in summary.layers(network("norm=batch"), SHAPE)] == [
        *["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"] * 2,
        *["Flatten", "Linear", "BatchNorm1d", "ReLU", "Linear"],
    ]


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_two_classes_can_be_told_apart_with_any_norm(norm):
    assert network(f"norm={norm}")(torch.rand(2, *SHAPE)).shape == (2, 2)


def test_it_computes_what_the_same_layers_written_out_compute():
    net = network("activation=leaky_relu")
    torch.manual_seed(0)
    written = nn.Sequential(
        *[nn.Conv2d(3, 32, 3, padding=1), nn.LeakyReLU(), nn.MaxPool2d(2)],
        *[nn.Conv2d(32, 64, 3, padding=1), nn.LeakyReLU(), nn.MaxPool2d(2)],
        *[nn.Flatten(), nn.Linear(64 * 16 * 16, 128), nn.LeakyReLU(), nn.Linear(128, 2)],
    )
    images = torch.rand(4, *SHAPE)
    torch.testing.assert_close(net(images), written(images))
