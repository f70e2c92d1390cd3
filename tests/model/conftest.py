"""Weights to begin with."""

import pytest
import torch
from torchvision.models import resnet18


@pytest.fixture(scope="session")
def trained():
    """A network of torchvision's for 1000 classes, whose running statistics have seen images."""
    torch.manual_seed(1)
    net = resnet18()
    with torch.no_grad():
        net.train()(torch.rand(4, 3, 32, 32))
    return net.eval()


@pytest.fixture(scope="session")
def file(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(trained.state_dict(), path)
    return path
