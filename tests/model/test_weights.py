"""Weights learned elsewhere, in a ResNet-18."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from image_sweeps.config.problems import ConfigError
from image_sweeps.dataset import Shape
from image_sweeps.fit import checkpoint
from image_sweeps.model import build
from image_sweeps.model.weights import WeightsError
from tests.support.configurations import config_of

CPU = torch.device("cpu")
RGB = Shape(3, 32, 32)
GREY = Shape(1, 32, 32)
RESNET = ("model=resnet18", "model.stem=imagenet", "dataset.image_size=32")


def network(*overrides, shape=RGB):
    return build(config_of(*RESNET, *overrides), shape, 10, CPU)


def without_head(net):
    return nn.Sequential(*list(net.children())[:-1], nn.Flatten()).eval()


@pytest.mark.parametrize("shape", [RGB, GREY])
def test_weights_of_a_file_give_the_backbone_and_the_head_is_new(trained, file, shape):
    net = network(f"model.weights={file}", shape=shape).eval()
    images = torch.rand(3, *shape)
    expected = without_head(trained)(images.expand(-1, 3, -1, -1))
    torch.testing.assert_close(without_head(net)(images), expected, rtol=1e-4, atol=1e-5)
    assert net.fc.weight.shape == (10, 512)


def test_a_checkpoint_of_a_run_is_a_file_of_weights(tmp_path):
    first = build(config_of("model=resnet18", "seed=3"), GREY, 7, CPU)
    checkpoint.save(tmp_path / "best.pt", {"model": checkpoint.weights(first), "epoch": 1})
    net = network("model.stem=small", f"model.weights={tmp_path / 'best.pt'}", shape=GREY)
    images = torch.rand(2, *GREY)
    torch.testing.assert_close(without_head(net)(images), without_head(first)(images))


def test_torchvisions_weights_are_taken_from_where_they_were_downloaded_to(trained, file, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    kept = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(file.read_bytes())
    net = network("model.weights=imagenet")
    images = torch.rand(2, *RGB)
    torch.testing.assert_close(without_head(net)(images), without_head(trained)(images), rtol=1e-4, atol=1e-5)
    kept.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(WeightsError, match=rf"^model\.weights = 'imagenet': {kept} is damaged \(.*\. Put an intact"):
        network("model.weights=imagenet")


def test_without_a_network_the_error_says_what_was_tried_and_the_ways_out(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody answers there
    with pytest.raises(
        WeightsError,
        match=rf"^model\.weights = 'imagenet': {tmp_path}/hub/checkpoints/resnet18-f37072fd\.pth is not there, and "
        r"https://download\.pytorch\.org/models/resnet18-f37072fd\.pth could not be downloaded \(URLError: .*\)\. "
        r"Put an intact download of that address there, or name one with model\.weights=PATH, or train from scratch "
        r"with model\.weights=null$",
    ):
        network("model.weights=imagenet")


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_loading_runs_no_code(tmp_path):
    torch.save({"conv1.weight": Malicious(tmp_path / "harm")}, tmp_path / "evil.pt")
    with pytest.raises(ConfigError, match=r"evil\.pt': is not a file of tensors that torch\.save wrote \(Unpickling"):
        network(f"model.weights={tmp_path / 'evil.pt'}")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: b"no file of torch's", r"is not a file of tensors that torch\.save wrote \(.*\); save the"),
        (lambda state: [1, 2], r"holds no state dict of named tensors; save the network's state_dict\(\)"),
        (lambda state: {}, "holds no state dict of named tensors"),
        (lambda state: {**state, "epoch": 3}, "holds no state dict of named tensors"),
        (
            lambda state: resnet18().layer1.state_dict(),
            r"are not for this network: conv1\.weight is missing and \d+",
        ),
        (lambda state: {**state, "odd": torch.zeros(1)}, "are not for this network: odd is not part of it$"),
        (
            lambda state: {**state, "layer1.0.conv1.weight": torch.zeros(64, 64, 1, 1)},
            r"are not for this network: layer1\.0\.conv1\.weight is 64x64x1x1, not 64x64x3x3$",
        ),
        (
            lambda state: {**state, "conv1.weight": torch.zeros(64, 3, 3, 3)},
            r"begin with a 3x3 convolution, model\.stem = 'imagenet' has another; imagenet is 7x7, small is 3x3$",
        ),
        (
            lambda state: {**state, "conv1.weight": torch.zeros(64, 1, 7, 7)},
            r"are not for this network: conv1\.weight is 64x1x7x7, not 64x3x7x7$",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused_before_any_work(change, message, trained, tmp_path):
    path = tmp_path / "weights.pt"
    content = change(trained.state_dict())
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ConfigError, match=rf"model\.weights = '{path}': {message}"):
        config_of(*RESNET, "dataset.channels=3", f"model.weights={path}")


def test_a_file_that_is_not_there_is_refused_before_any_work(tmp_path):
    with pytest.raises(ConfigError, match=rf"model\.weights = '{tmp_path}/a\.pt': there is no such file; name an"):
        config_of(*RESNET, f"model.weights={tmp_path}/a.pt")


def test_a_configuration_with_published_weights_is_checked_without_a_download(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert config_of(*RESNET, "model.weights=imagenet").model.weights == "imagenet"
    assert not list(tmp_path.iterdir())
