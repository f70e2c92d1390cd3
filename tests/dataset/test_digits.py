import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

from image_sweeps.dataset import load
from tests.support.configurations import source_of


def decoded(*overrides):
    return np.concatenate([part.images for part in source_of(*overrides).decode()])


def test_the_images_are_those_of_scikit_learn_in_their_order():
    ours = decoded("dataset.image_size=8")[:, 0]
    np.testing.assert_array_equal(ours, (load_digits().images * 255 / 16).round())
    np.testing.assert_array_equal(source_of().index().labels, load_digits().target)


def test_images_are_resized_as_pillow_resizes_them():
    small, large = decoded("dataset.image_size=8"), decoded("dataset.image_size=16")
    for index in range(0, 1797, 200):
        theirs = Image.fromarray(small[index, 0]).resize((16, 16), Image.Resampling.BILINEAR)
        assert abs(large[index, 0].astype(int) - np.asarray(theirs).astype(int)).max() <= 1  # rounding


def test_grey_becomes_three_equal_channels():
    images = decoded("dataset.channels=3")
    assert images.shape[1:] == (3, 16, 16)
    np.testing.assert_array_equal(images[:, 0], images[:, 1])
    np.testing.assert_array_equal(images[:, 0], images[:, 2])


def test_the_fingerprint_is_of_the_content_not_of_the_settings():
    changed = source_of("dataset.image_size=20", "dataset.split_seed=7", "dataset.normalize=half")
    assert source_of().fingerprint == changed.fingerprint
    assert len(source_of().fingerprint) == 16


def test_the_splits_have_the_asked_sizes_and_all_classes_in_proportion(tmp_path):
    splits = load(source_of(), tmp_path)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (1293, 144, 360)
    shares = np.bincount(load_digits().target) / 1797
    for part in (splits.train, splits.val, splits.test):
        np.testing.assert_allclose(torch.bincount(part.labels) / len(part), shares, atol=1 / len(part))
