"""What every network must do, over every combination of the choices in conf/."""

import itertools
from functools import cache

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from image_sweeps.config.problems import ConfigError
from image_sweeps.dataset import Shape
from image_sweeps.model import build, summary
from tests.support.configurations import choices, config_of

CPU = torch.device("cpu")
SHAPE = Shape(1, 16, 16)
COMBINATIONS = list(itertools.product(choices("model"), choices("norm"), choices("activation")))
ACTIVATIONS = {a: type(config_of(f"activation={a}").activation.build()) for a in choices("activation")}

config_with = cache(config_of)


def network(model, shape=SHAPE, num_classes=10, seed=0, **parts):
    """The network of a choice of conf/model, with the choices `parts` in place of its own norm or activation."""
    swapped = {group: getattr(config_with(f"{group}={choice}"), group) for group, choice in parts.items()}
    config = config_with(f"model={model}").model_copy(update={"seed": seed, **swapped})
    return build(config, shape, num_classes, CPU)


def images(shape=(6, *SHAPE)):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def learns_everywhere(net, images):
    """Whether the loss has something to say to every parameter there is."""
    F.cross_entropy(net.train()(images), torch.arange(len(images))).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # a norm takes away what a bias before it adds, so that bias has a gradient of zero but for rounding
        assert parameter.grad.abs().max() > 0 or name.endswith("bias"), name


@pytest.mark.parametrize(("model", "norm", "activation"), COMBINATIONS)
def test_a_gradient_reaches_every_parameter(model, norm, activation):
    net = network(model, norm=norm, activation=activation)
    assert net(images()).shape == (6, 10)
    learns_everywhere(net, images())


@pytest.mark.parametrize("model", choices("model"))
@pytest.mark.parametrize(("activation", "kind"), ACTIVATIONS.items())
def test_a_swept_activation_stands_at_every_site(model, activation, kind):
    net = network(model, activation=activation)
    used = [type(m) for m in net.modules() if isinstance(m, tuple(ACTIVATIONS.values()))]
    assert used
    assert set(used) == {kind}
    default = network(model, activation="relu")
    assert len(used) == sum(isinstance(m, nn.ReLU) for m in default.modules())


@pytest.mark.parametrize("model", choices("model"))
@pytest.mark.parametrize("activation", [a for a in choices("activation") if a != "relu"])
def test_every_activation_site_changes_what_comes_out(model, activation):
    net = network(model, activation=activation).eval()
    sites = {name: m for name, m in net.named_modules() if isinstance(m, ACTIVATIONS[activation])}
    out = net(images())
    for name, site in sites.items():
        net.set_submodule(name, nn.ReLU())
        assert not torch.allclose(net(images()), out, atol=1e-7), name
        net.set_submodule(name, site)
    assert torch.equal(net(images()), out)


@pytest.mark.parametrize("model", choices("model"))
@pytest.mark.parametrize("norm", [n for n in choices("norm") if n != "none"])
def test_a_swept_norm_changes_what_comes_out(model, norm):
    plain, normed = (network(model, norm=choice).train() for choice in ("none", norm))
    for dropout in [m for net in (plain, normed) for m in net.modules() if isinstance(m, nn.Dropout)]:
        dropout.eval()  # it would make the difference by itself
    assert not torch.allclose(plain(images()), normed(images()), atol=1e-4)


@pytest.mark.parametrize("model", choices("model"))
def test_without_norm_no_layer_normalises(model):
    kinds = {type(m).__name__ for m in network(model, norm="none").modules()}
    assert not [kind for kind in kinds if "Norm" in kind]


@pytest.mark.parametrize("model", choices("model"))
@pytest.mark.parametrize("shape", [Shape(1, 8, 8), Shape(3, 17, 17), Shape(1, 28, 28), Shape(3, 33, 33)])
def test_any_size_and_channel_count_works(model, shape):
    net = network(model, shape, num_classes=7).eval()
    assert net(images((2, *shape))).shape == (2, 7)


@pytest.mark.parametrize("model", choices("model"))
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(model):
    first, again, other = (network(model, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("model", choices("model"))
def test_the_smallest_images_that_are_accepted_work_and_smaller_ones_are_refused_before_any_work(model):
    accepted = [size for size in range(1, 9) if fits(model, size)]
    smallest = accepted[0]
    assert accepted == list(range(smallest, 9))
    learns_everywhere(network(model, Shape(1, smallest, smallest), activation="gelu"), images((6, 1, *[smallest] * 2)))
    if smallest > 1:
        message = rf"dataset\.image_size = {smallest - 1}: too small for the \d+ (poolings|halvings) of model\."
        with pytest.raises(ConfigError, match=rf"{message}.* need at least {smallest}$"):
            config_of(f"model={model}", f"dataset.image_size={smallest - 1}")


def fits(model, size):
    config = config_with(f"model={model}")
    try:
        with torch.device("meta"):
            config.model.build(Shape(1, size, size), 10, config.activation.build, config.norm.build())
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("model", choices("model"))
@pytest.mark.parametrize("norm", ["layer", "group"])
def test_a_norm_that_would_leave_constants_on_two_logits_is_refused(model, norm):
    if getattr(config_with(f"model={model}").model, "norm_output", False):
        with pytest.raises(ValueError, match=r"over [12] values? of a vector, which leaves constants"):
            network(model, num_classes=2, norm=norm)
    else:
        learns_everywhere(network(model, num_classes=2, norm=norm), images()[:2])


@pytest.mark.parametrize("model", choices("model"))
def test_the_summary_counts_every_parameter_once_and_leaves_the_network_alone(model):
    net = network(model).train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    layers = summary.layers(net, SHAPE)
    assert sum(layer.num_parameters for layer in layers) == sum(p.numel() for p in net.parameters())
    assert net.training
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())
