import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets, transforms

from src.dataset import DataError
from src.dataset.fashion_mnist import FILES, FashionMNIST

SETTINGS = {"image_size": 16, "channels": 1, "val_fraction": 0.1, "split_seed": 0}


@pytest.fixture
def data_dir():
    return Path(os.environ.get("DATA_DIR", "data"))


def write_idx(folder, counts=(200, 20)):
    """Tiny files in Fashion-MNIST's format."""
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, count in zip(("train", "t10k"), counts, strict=True):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        header = b"".join(n.to_bytes(4, "big") for n in (2051, count, 28, 28))
        (raw / f"{name}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        labels = (np.arange(count) % 10).astype(np.uint8)
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(
            b"".join(n.to_bytes(4, "big") for n in (2049, count)) + labels.tobytes()
        )
    return raw


@pytest.mark.fashion
def test_the_published_test_split_stays_whole_and_validation_comes_from_training(data_dir):
    splits = FashionMNIST(data_dir, **SETTINGS).load()
    assert (len(splits.train), len(splits.val), len(splits.test)) == (54_000, 6_000, 10_000)
    assert torch.bincount(splits.val.labels).tolist() == [600] * 10
    published = datasets.FashionMNIST(str(data_dir), train=False)
    assert torch.equal(splits.test.labels, published.targets)


@pytest.mark.fashion
def test_images_are_what_a_notebook_gets_from_torchvision(data_dir):
    transform = transforms.Compose([transforms.Resize((16, 16)), transforms.ToTensor()])
    theirs = datasets.FashionMNIST(str(data_dir), train=False, transform=transform)
    ours = FashionMNIST(data_dir, **SETTINGS).load().test.images
    for index in range(0, 10_000, 499):
        difference = ours[index].float() / 255 - theirs[index][0]
        assert difference.abs().max() <= 1.01 / 255  # rounding


def test_missing_files_are_named_with_the_place_and_both_ways_out(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    write_idx(tmp_path)
    (tmp_path / "FashionMNIST" / "raw" / FILES[2]).unlink()
    with pytest.raises(DataError) as error:
        FashionMNIST(tmp_path, **SETTINGS).prepare()
    message = str(error.value)
    assert f"looked for {FILES[2]} in {tmp_path}/FashionMNIST/raw and could not download" in message
    assert "Either connect to the network and run again, or set data_dir=... (or DATA_DIR)" in message


def test_a_download_that_fails_leaves_no_empty_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(DataError, match="could not download"):
        FashionMNIST(tmp_path / "data", **SETTINGS).prepare()
    assert not (tmp_path / "data").exists()


def test_files_that_are_there_are_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    write_idx(tmp_path)
    source = FashionMNIST(tmp_path, **{**SETTINGS, "val_fraction": 0.25})
    source.prepare()
    splits = source.load()
    assert (len(splits.train), len(splits.val), len(splits.test)) == (150, 50, 20)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [lambda raw: raw[:20], lambda raw: b"", lambda raw: b"garbage" + raw[7:]])
def test_a_damaged_file_is_an_error_with_a_way_out(tmp_path, name, damage):
    path = write_idx(tmp_path) / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"a file in .*raw is damaged .*Delete the folder to download it afresh"):
        FashionMNIST(tmp_path, **SETTINGS).load()


def test_images_without_labels_are_an_error(tmp_path):
    raw = write_idx(tmp_path)
    (raw / FILES[1]).write_bytes(b"".join(n.to_bytes(4, "big") for n in (2049, 7)) + bytes(7))
    with pytest.raises(DataError, match="has 200 images and 7 labels of the same split"):
        FashionMNIST(tmp_path, **SETTINGS).load()


def test_the_fingerprint_changes_with_the_content(tmp_path):
    raw = write_idx(tmp_path)
    before = FashionMNIST(tmp_path, **SETTINGS).fingerprint
    changed = bytearray((raw / FILES[0]).read_bytes())
    changed[-1] ^= 1
    (raw / FILES[0]).write_bytes(changed)
    assert FashionMNIST(tmp_path, **SETTINGS).fingerprint != before
