import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from src.fit import checkpoint


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_weights_come_back_bit_for_bit_with_the_facts(tmp_path):
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)).to(memory_format=torch.channels_last)
    checkpoint.save(tmp_path / "best.pt", model, {"epoch": 3, "config": {"a": [1, "b", None]}})
    loaded = checkpoint.load(tmp_path / "best.pt")
    assert loaded["epoch"] == 3
    assert loaded["config"] == {"a": [1, "b", None]}
    assert all(torch.equal(value, loaded["model"][key]) for key, value in model.state_dict().items())


def test_loading_runs_no_code(tmp_path):
    torch.save({"model": Malicious(tmp_path / "harm")}, tmp_path / "best.pt")
    with pytest.raises(pickle.UnpicklingError):
        checkpoint.load(tmp_path / "best.pt")
    assert not (tmp_path / "harm").exists()
