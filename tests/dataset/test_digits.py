import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from src.dataset import DataError
from src.dataset.digits import Digits


def digits(tmp_path, **settings):
    defaults = {"image_size": 16, "channels": 1, "val_fraction": 0.1, "test_fraction": 0.2, "split_seed": 0}
    return Digits(tmp_path, **{**defaults, **settings})


def test_every_image_stands_in_exactly_one_split(tmp_path):
    splits = digits(tmp_path, image_size=8).load()
    ours = torch.cat([part.images for part in (splits.train, splits.val, splits.test)])[:, 0]
    theirs = torch.from_numpy(load_digits().images).mul(255 / 16).round().to(torch.uint8)
    assert sorted(map(bytes, ours.numpy())) == sorted(map(bytes, theirs.numpy()))


def test_the_splits_have_the_asked_sizes_and_all_classes_in_proportion(tmp_path):
    splits = digits(tmp_path).load()
    assert (len(splits.train), len(splits.val), len(splits.test)) == (1293, 144, 360)
    shares = np.bincount(load_digits().target) / 1797
    for part in (splits.train, splits.val, splits.test):
        ours = np.bincount(part.labels.numpy(), minlength=10) / len(part)
        np.testing.assert_allclose(ours, shares, atol=1 / len(part))


def test_images_are_resized_as_pillow_resizes_them(tmp_path):
    image = digits(tmp_path, image_size=8).load().train.images[0, 0].numpy()
    ours = digits(tmp_path).load().train.images[0, 0].numpy().astype(int)
    theirs = np.asarray(Image.fromarray(image).resize((16, 16), Image.Resampling.BILINEAR)).astype(int)
    assert abs(ours - theirs).max() <= 1  # rounding


def test_grey_becomes_three_equal_channels(tmp_path):
    images = digits(tmp_path, channels=3).load().train.images
    assert images.shape[1:] == (3, 16, 16)
    assert torch.equal(images[:, 0], images[:, 1])
    assert torch.equal(images[:, 0], images[:, 2])


def test_another_split_seed_gives_another_split_and_the_same_seed_the_same(tmp_path):
    first, again, other = (digits(tmp_path, split_seed=seed).load().test.labels for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_fingerprint_is_of_the_content_not_of_the_settings(tmp_path):
    assert digits(tmp_path).fingerprint == digits(tmp_path, image_size=20, split_seed=7).fingerprint
    assert len(digits(tmp_path).fingerprint) == 16


def test_a_split_too_small_for_the_classes_is_refused_by_its_key(tmp_path):
    with pytest.raises(DataError, match=r"dataset\.val_fraction = 0\.001: cannot split the 1437 images"):
        digits(tmp_path, val_fraction=0.001).load()
