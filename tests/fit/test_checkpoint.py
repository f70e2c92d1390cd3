import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from image_sweeps.fit import checkpoint
from image_sweeps.system.files import DiskError
from tests.support.file_limits import largest_file
from tests.support.training import training

TINY = ("dataset.image_size=8", "epochs=3", "seed=3")


def trained(folder, subject):
    """Train to the end as the cell would, from what is in the folder."""
    past = checkpoint.restore(folder / "last.pt", subject)
    for epoch in subject.epochs():
        past.add(epoch, subject.model)
        checkpoint.save_last(folder / "last.pt", subject, past)
        yield past


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_weights_come_back_bit_for_bit_with_the_facts(tmp_path):
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)).to(memory_format=torch.channels_last)
    content = {"model": checkpoint.weights(model), "epoch": 3, "config": {"a": [1, "b", None]}}
    checkpoint.save(tmp_path / "best.pt", content)
    loaded = checkpoint.load(tmp_path / "best.pt")
    assert loaded["epoch"] == 3
    assert loaded["config"] == {"a": [1, "b", None]}
    assert all(torch.equal(value, loaded["model"][key]) for key, value in model.state_dict().items())


def test_loading_runs_no_code(tmp_path):
    torch.save({"model": Malicious(tmp_path / "harm")}, tmp_path / "best.pt")
    with pytest.raises(pickle.UnpicklingError):
        checkpoint.load(tmp_path / "best.pt")
    assert not (tmp_path / "harm").exists()


def test_the_best_weights_are_those_of_the_best_epoch(tmp_path):
    subject = training(*TINY, "model=cnn")
    seen = {}
    for past in trained(tmp_path, subject):
        seen[past.epochs[-1].number] = checkpoint.weights(subject.model)
    best = seen[past.best.number]
    assert all(torch.equal(best[name], tensor) for name, tensor in past.weights.items())


def test_a_checkpoint_that_does_not_fit_on_the_disk_leaves_the_one_before(tmp_path):
    subject = training(*TINY, "model=cnn")
    next(trained(tmp_path, subject))
    size = (tmp_path / "last.pt").stat().st_size
    for num_bytes in range(0, size, size // 20):
        with pytest.raises(DiskError, match=r"last\.pt: could not be written: File too large"), largest_file(num_bytes):
            next(trained(tmp_path, subject))
    assert checkpoint.restore(tmp_path / "last.pt", training(*TINY, "model=cnn")).epochs[-1].number == 1
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_without_a_checkpoint_a_cell_begins_at_its_beginning(tmp_path):
    subject = training(*TINY, "model=cnn")
    assert checkpoint.restore(tmp_path / "last.pt", subject).epochs == []
    assert subject.num_done == 0


def broken(path):
    path.write_bytes(path.read_bytes()[:1000])


def malicious(path):
    torch.save({"training": Malicious(path.with_name("harm"))}, path)


def of_another_network(path):
    next(trained(path.parent, training(*TINY, "model=mlp")))


@pytest.mark.parametrize("damage", [broken, malicious, of_another_network])
def test_a_checkpoint_that_cannot_be_used_says_which_and_what_to_do(tmp_path, damage):
    next(trained(tmp_path, training(*TINY, "model=cnn")))
    path = tmp_path / "last.pt"
    if damage is of_another_network:
        path.unlink()
    damage(path)
    with pytest.raises(checkpoint.CheckpointError, match=r"last\.pt: cannot go on .* Remove it to begin the cell anew"):
        checkpoint.restore(tmp_path / "last.pt", training(*TINY, "model=cnn"))
    assert not (tmp_path / "harm").exists()
