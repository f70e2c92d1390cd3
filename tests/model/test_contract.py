"""What every network must do, over every combination of the choices in conf/."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from src.config import ConfigError
from src.dataset import Shape
from src.model import build, portable, summary
from tests.conftest import choices, config_of

CPU = torch.device("cpu")
COMBINATIONS = list(itertools.product(choices("model"), choices("norm"), choices("activation")))
ACTIVATIONS = {a: type(config_of(f"activation={a}").activation.build()) for a in choices("activation")}


def network(*overrides, shape=Shape(1, 16, 16), num_classes=10):  # noqa: B008
    return build(config_of(*overrides), shape, num_classes, CPU)


def images(shape=(6, 1, 16, 16)):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("model", "norm", "activation"), COMBINATIONS)
def test_a_gradient_reaches_every_parameter(model, norm, activation):
    net = network(f"model={model}", f"norm={norm}", f"activation={activation}")
    logits = net(images())
    assert logits.shape == (6, 10)
    F.cross_entropy(logits, torch.arange(6)).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # a norm takes away what a bias before it adds, so that bias has a gradient of zero but for rounding
        assert parameter.grad.abs().max() > 0 or name.endswith("bias"), name


@pytest.mark.parametrize("model", choices("model"))
@pytest.mark.parametrize(("activation", "kind"), ACTIVATIONS.items())
def test_a_swept_activation_stands_at_every_site(model, activation, kind):
    net = network(f"model={model}", f"activation={activation}")
    used = [type(m) for m in net.modules() if isinstance(m, tuple(ACTIVATIONS.values()))]
    assert used
    assert set(used) == {kind}
    default = network(f"model={model}", "activation=relu")
    assert len(used) == sum(isinstance(m, nn.ReLU) for m in default.modules())


@pytest.mark.parametrize("model", choices("model"))
@pytest.mark.parametrize("activation", [a for a in choices("activation") if a != "relu"])
def test_every_activation_site_changes_what_comes_out(model, activation):
    net = network(f"model={model}", f"activation={activation}").eval()
    sites = [name for name, m in net.named_modules() if isinstance(m, ACTIVATIONS[activation])]
    out = net(images())
    for site in sites:
        changed = portable(net)
        changed.set_submodule(site, nn.ReLU())
        assert not torch.allclose(changed(images()), out, atol=1e-7), site


@pytest.mark.parametrize("model", choices("model"))
@pytest.mark.parametrize("norm", [n for n in choices("norm") if n != "none"])
def test_a_swept_norm_changes_what_comes_out(model, norm):
    plain, normed = network(f"model={model}", "norm=none"), network(f"model={model}", f"norm={norm}")
    assert not torch.allclose(plain(images()), normed(images()), atol=1e-4)


@pytest.mark.parametrize("model", choices("model"))
@pytest.mark.parametrize("shape", [Shape(1, 8, 8), Shape(3, 17, 17), Shape(1, 28, 28), Shape(3, 33, 33)])
def test_any_size_and_channel_count_works(model, shape):
    net = network(f"model={model}", shape=shape, num_classes=7).eval()
    assert net(images((2, *shape))).shape == (2, 7)


@pytest.mark.parametrize("model", choices("model"))
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(model):
    first, again, other = (network(f"model={model}", f"seed={seed}").state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("model", choices("model"))
def test_images_too_small_for_the_network_are_refused_before_any_work(model):
    with pytest.raises(ConfigError, match=r"dataset\.image_size = 1: too small for the \d+ poolings"):
        config_of(f"model={model}", "dataset.image_size=1")


@pytest.mark.parametrize("model", choices("model"))
def test_the_summary_counts_every_parameter_once_and_leaves_the_network_alone(model):
    net = network(f"model={model}").train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    layers = summary.layers(net, Shape(1, 16, 16))
    assert sum(layer.num_parameters for layer in layers) == sum(p.numel() for p in net.parameters())
    assert net.training
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())
