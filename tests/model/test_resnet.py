"""torchvision's own ResNet-18 is the oracle."""

import itertools

import pytest
import torch
from torch.nn import functional as F
from torchvision.models import resnet18

from image_sweeps.config.problems import ConfigError
from image_sweeps.dataset import Shape
from image_sweeps.model import build, summary
from tests.support.configurations import config_of

CPU = torch.device("cpu")
RGB = Shape(3, 32, 32)
GREY = Shape(1, 32, 32)
RESNET = ("model=resnet18", "model.stem=imagenet", "dataset.image_size=32")


def network(*overrides, shape=RGB):
    return build(config_of(*RESNET, *overrides), shape, 10, CPU)


def test_it_computes_what_torchvision_computes_with_the_same_weights():
    torch.manual_seed(1)
    oracle = resnet18(num_classes=10).double()  # in float32 the order of the sums would show
    net = network().double()
    net.load_state_dict(oracle.state_dict())
    images, labels = torch.rand(4, *RGB, dtype=torch.float64), torch.arange(4)
    for each in (oracle, net):
        F.cross_entropy(each.train()(images), labels).backward()
    gradients = {name: parameter.grad for name, parameter in oracle.named_parameters()}
    torch.testing.assert_close({name: parameter.grad for name, parameter in net.named_parameters()}, gradients)
    torch.testing.assert_close(dict(net.named_buffers()), dict(oracle.named_buffers()))
    torch.testing.assert_close(net.eval()(images), oracle.eval()(images))


def test_it_has_a_stem_and_four_stages_of_two_blocks():
    def block(inputs, channels, size):
        conv, shape = channels * channels * 9, (channels, size, size)
        first = [("Conv2d", shape, inputs * channels * 9), ("BatchNorm2d", shape, 2 * channels), ("ReLU", shape, 0)]
        second = [("Conv2d", shape, conv), ("BatchNorm2d", shape, 2 * channels), ("ReLU", shape, 0)]
        shortcut = [("Conv2d", shape, inputs * channels), ("BatchNorm2d", shape, 2 * channels)]
        return [*(shortcut if inputs != channels else []), *first, *second]

    stages = [block(i, c, size) for i, c, size in [(64, 64, 8), (64, 128, 4), (128, 256, 2), (256, 512, 1)]]
    repeated = [block(c, c, size) for c, size in [(64, 8), (128, 4), (256, 2), (512, 1)]]
    assert [(layer.type, layer.output_shape, layer.num_parameters) for layer in summary.layers(network(), RGB)] == [
        ("Conv2d", (64, 16, 16), 64 * 3 * 49),
        ("BatchNorm2d", (64, 16, 16), 2 * 64),
        ("ReLU", (64, 16, 16), 0),
        ("MaxPool2d", (64, 8, 8), 0),
        *itertools.chain(*(both for pair in zip(stages, repeated, strict=True) for both in pair)),
        ("AdaptiveAvgPool2d", (512, 1, 1), 0),
        ("Linear", (10,), 512 * 10 + 10),
    ]


def test_the_small_stem_keeps_the_size_and_leaves_three_halvings():
    layers = summary.layers(network("model.stem=small", shape=GREY), GREY)
    assert layers[0].output_shape == (64, 32, 32)
    assert layers[0].num_parameters == 64 * 9
    assert "MaxPool2d" not in {layer.type for layer in layers}
    assert [layer.output_shape for layer in layers if layer.type == "Conv2d"][-1] == (512, 4, 4)


@pytest.mark.parametrize("stem", ["small", "imagenet"])
def test_first_weights_are_drawn_as_torchvision_draws_them(stem):
    """He et al., 2015, arXiv:1502.01852: variance 2 / fan_out."""
    net = network(f"model.stem={stem}", shape=GREY)
    for name in ("conv1", "layer2.0.conv1", "layer4.1.conv2"):
        weight = net.get_submodule(name).weight
        fan_out = weight.shape[0] * weight.shape[2] * weight.shape[3]
        assert weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1), name


def test_a_frozen_backbone_learns_by_its_head_alone(file):
    net = network(f"model.weights={file}", "model.freeze_backbone=true").train()
    assert [name for name, p in net.named_parameters() if p.requires_grad] == ["fc.weight", "fc.bias"]
    assert summary.num_parameters(net) == 512 * 10 + 10
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    optimizer = config_of("optimizer=adamw").optimizer.build(net.parameters())
    F.cross_entropy(net(torch.rand(4, *RGB)), torch.arange(4)).backward()
    optimizer.step()
    changed = {name for name, tensor in net.state_dict().items() if not torch.equal(before[name], tensor)}
    assert changed == {"fc.weight", "fc.bias"}


def test_a_frozen_backbone_gives_in_training_what_it_gives_after_it(file):
    net = network(f"model.weights={file}", "model.freeze_backbone=true")
    images = torch.rand(4, *RGB)
    torch.testing.assert_close(net.train()(images), net.eval()(images))
    assert net.training is False
    assert net.train().fc.training is True


def test_a_backbone_that_is_not_frozen_learns_whole(file):
    net = network(f"model.weights={file}")
    assert all(p.requires_grad for p in net.parameters())
    assert all(m.training for m in net.train().modules())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.freeze_backbone=true"], r"model\.freeze_backbone = True: needs model\.weights; else only noise would"),
        (
            ["model.weights=imagenet", "norm=none"],
            r"model\.weights = 'imagenet': were learned with batch norm and need norm=batch; or take model\.weights=n",
        ),
        (
            ["model.weights=imagenet", "model.stem=small"],
            r"model\.stem = 'small': model\.weights = 'imagenet' were learned with the other stem; take "
            r"model\.stem=imagenet",
        ),
        (["model.stem=large"], r"model\.stem = 'large': must be one of 'small' or 'imagenet'"),
        (
            ["dataset.image_size=16"],
            r"dataset\.image_size = 16: too small for the 5 halvings of model\.stem = 'imagenet', which need at least "
            r"17; model\.stem=small takes smaller ones",
        ),
        (["norm=group", "norm.num_groups=5"], r"norm\.num_groups = 5: must divide the 64 channels"),
    ],
)
def test_what_cannot_be_built_is_refused_by_its_key(overrides, message):
    with pytest.raises(ConfigError, match=message):
        config_of(*RESNET, *overrides)


@pytest.mark.parametrize(("stem", "smallest"), [("small", 5), ("imagenet", 17)])
def test_the_smallest_image_leaves_every_halving_two_pixels(stem, smallest):
    """So the last maps come from two by two pixels, and those of a smaller image from one."""
    net = network(f"model.stem={stem}", shape=Shape(3, smallest, smallest))
    sizes = []
    net.layer4.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[2:]))
    net.eval()(torch.rand(1, 3, smallest, smallest))
    net(torch.rand(1, 3, smallest - 1, smallest - 1))
    assert sizes == [(2, 2), (1, 1)]
