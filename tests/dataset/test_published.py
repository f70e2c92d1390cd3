"""Fashion-MNIST, MNIST and CIFAR-10: the real files where they are there, and tiny ones in the same formats."""

import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torchvision import transforms

from image_sweeps.dataset import DataError, load
from image_sweeps.dataset.cifar10 import CIFAR10
from tests.support.configurations import source_of

MNISTS = ["mnist", "fashion_mnist"]
OFFLINE = "http://127.0.0.1:9/"  # nothing listens there


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [OFFLINE])
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", [OFFLINE])
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", OFFLINE + "cifar-10-python.tar.gz")


def source(name, data_dir, **settings):
    return source_of(f"dataset={name}", *(f"dataset.{k}={v}" for k, v in settings.items()), data_dir=data_dir)


def write_mnist(source, counts=(200, 20)):
    """Tiny files in MNIST's format; returns their folder."""
    source.folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, count in zip(("train", "t10k"), counts, strict=True):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        header = b"".join(n.to_bytes(4, "big") for n in (2051, count, 28, 28))
        (source.folder / f"{name}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        write_labels(source.folder / f"{name}-labels-idx1-ubyte", np.arange(count) % 10)
    return source.folder


def write_labels(path, labels):
    header = b"".join(n.to_bytes(4, "big") for n in (2049, len(labels)))
    path.write_bytes(header + np.asarray(labels, dtype=np.uint8).tobytes())


def write_cifar(source, monkeypatch, num_images=20):
    """Tiny files in CIFAR-10's format, whose checksums torchvision is told to expect."""
    source.folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    sums = {}
    for name in source.files:
        content = {"label_names": list(source.class_names)}
        if name != "batches.meta":
            pixels = rng.integers(0, 256, (num_images, 3072), dtype=np.uint8)
            content = {"data": pixels, "labels": [n % 10 for n in range(num_images)]}
        (source.folder / name).write_bytes(pickle.dumps(content))
        sums[name] = hashlib.md5((source.folder / name).read_bytes()).hexdigest()  # noqa: S324, the published kind
    theirs = torchvision.datasets.CIFAR10
    monkeypatch.setattr(theirs, "train_list", [[n, sums[n]] for n in source.files if n.startswith("data")])
    monkeypatch.setattr(theirs, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(theirs, "meta", {**theirs.meta, "md5": sums["batches.meta"]})


@pytest.mark.fashion
def test_the_published_test_split_stays_whole_and_validation_comes_from_training(tmp_path):
    splits = load(source("fashion_mnist", os.environ["DATA_DIR"]), tmp_path)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (54_000, 6_000, 10_000)
    assert torch.bincount(splits.val.labels).tolist() == [600] * 10
    published = torchvision.datasets.FashionMNIST(os.environ["DATA_DIR"], train=False)
    assert torch.equal(splits.test.labels, published.targets)


@pytest.mark.fashion
def test_images_are_what_a_notebook_gets_from_torchvision(tmp_path):
    transform = transforms.Compose([transforms.Resize((16, 16)), transforms.ToTensor()])
    theirs = torchvision.datasets.FashionMNIST(os.environ["DATA_DIR"], train=False, transform=transform)
    ours = load(source("fashion_mnist", os.environ["DATA_DIR"]), tmp_path).test.images
    for index in range(0, 10_000, 499):
        difference = ours[index].float() / 255 - theirs[index][0]
        assert difference.abs().max() <= 1.01 / 255  # rounding


@pytest.mark.parametrize("name", [*MNISTS, "cifar10"])
def test_missing_files_are_named_with_the_place_and_both_ways_out(tmp_path, name):
    with pytest.raises(DataError) as error:
        source(name, tmp_path).prepare()
    message = str(error.value)
    wanted = source(name, tmp_path)
    assert f"dataset={name}: looked for {', '.join(wanted.files)} in {wanted.folder} and could not download" in message
    assert "Either connect to the network and run again, or set data_dir=... (or DATA_DIR) to a folder" in message
    assert f"that holds {wanted.folder.relative_to(tmp_path)}/ with these files" in message


@pytest.mark.parametrize("name", [*MNISTS, "cifar10"])
def test_a_download_that_fails_leaves_no_empty_folders(tmp_path, name):
    with pytest.raises(DataError, match="could not download"):
        source(name, tmp_path / "data").prepare()
    assert not (tmp_path / "data").exists()


def test_only_what_is_missing_is_looked_for(tmp_path):
    wanted = source("mnist", tmp_path)
    (write_mnist(wanted) / wanted.files[2]).unlink()
    with pytest.raises(DataError, match=f"looked for {wanted.files[2]} in"):
        wanted.prepare()


@pytest.mark.parametrize("name", MNISTS)
def test_files_that_are_there_are_not_downloaded(tmp_path, name):
    wanted = source(name, tmp_path, val_fraction=0.25)
    write_mnist(wanted)
    wanted.prepare()
    splits = load(wanted, tmp_path)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (150, 50, 20)


@pytest.mark.filterwarnings("ignore::numpy.exceptions.VisibleDeprecationWarning")  # torchvision's reading of pickles
def test_cifar10_is_read_in_colour(tmp_path, monkeypatch):
    wanted = source("cifar10", tmp_path, val_fraction=0.2)
    write_cifar(wanted, monkeypatch)
    wanted.prepare()
    splits = load(wanted, tmp_path)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (80, 20, 20)
    raw = pickle.loads((wanted.folder / "test_batch").read_bytes())["data"].reshape(-1, 3, 32, 32)  # noqa: S301
    assert torch.equal(splits.test.images, torch.from_numpy(raw))


def test_a_pickle_that_is_not_the_published_file_is_not_opened(tmp_path, monkeypatch):
    class Malicious:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "harm",))

    wanted = source("cifar10", tmp_path)
    write_cifar(wanted, monkeypatch)
    (wanted.folder / "data_batch_3").write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(DataError, match=r"dataset=cifar10: a file in .* is damaged .*Delete the folder"):
        CIFAR10.index(wanted)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("damage", [lambda raw: raw[:20], lambda raw: b"", lambda raw: b"garbage" + raw[7:]])
def test_a_damaged_file_is_an_error_with_a_way_out(tmp_path, number, damage):
    wanted = source("fashion_mnist", tmp_path)
    path = write_mnist(wanted) / wanted.files[number]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"a file in .*raw is damaged .*Delete the folder to download it afresh"):
        wanted.index()


@pytest.mark.parametrize("labels", [[0] * 7, [10] * 200])
def test_labels_that_do_not_fit_the_images_are_an_error(tmp_path, labels):
    wanted = source("mnist", tmp_path)
    write_labels(write_mnist(wanted) / wanted.files[1], labels)
    with pytest.raises(
        DataError, match=rf"has 200 images and {len(labels)} labels of the same split, or labels beyond"
    ):
        wanted.index()


def test_the_fingerprint_changes_with_the_content(tmp_path):
    folder = write_mnist(source("mnist", tmp_path))
    before = source("mnist", tmp_path).fingerprint
    changed = bytearray((folder / "train-images-idx3-ubyte").read_bytes())
    changed[-1] ^= 1
    (folder / "train-images-idx3-ubyte").write_bytes(changed)
    assert source("mnist", tmp_path).fingerprint != before
