import numpy as np
import pytest
import torch
from torch.utils.data import SubsetRandomSampler

from image_sweeps.dataset import ImageSet, StreamedSet, load
from image_sweeps.fit.batches import batches, epoch_generator, epoch_order
from tests.support.archives import peak_mb
from tests.support.synthetic_images import made


def images_of(source, splits):
    """The training images in their order, by the seed that made them."""
    return next(iter(splits.train.batches([torch.arange(len(splits.train))])))


def test_a_set_within_the_budget_is_held_in_memory_and_a_larger_one_streamed(tmp_path):
    labels = [n % 2 for n in range(400)]
    small = load(made(tmp_path, labels=labels, image_size=16), tmp_path)
    large = load(made(tmp_path, labels=labels, image_size=32, memory_budget_mb=1), tmp_path)
    assert isinstance(small.train, ImageSet)
    assert isinstance(large.train, StreamedSet)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_both_ways_give_the_same_batches(tmp_path, num_workers):
    settings = {"labels": [n % 3 for n in range(400)], "image_size": 32, "num_workers": num_workers}
    held = load(made(tmp_path, **settings), tmp_path)
    streamed = load(made(tmp_path, **settings, memory_budget_mb=1), tmp_path)
    for part in ("train", "val", "test"):
        one, other = getattr(held, part), getattr(streamed, part)
        steps = batches(epoch_order(len(one), seed=3, epoch=2), 32)
        for (images, labels), (images_2, labels_2) in zip(one.batches(steps), other.batches(steps), strict=True):
            assert torch.equal(images, images_2)
            assert torch.equal(labels, labels_2)


def test_streaming_draws_nothing_from_the_global_random_numbers(tmp_path):
    settings = {"labels": [n % 2 for n in range(400)], "image_size": 32, "memory_budget_mb": 1}
    streamed = load(made(tmp_path, **settings), tmp_path).train
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(streamed.batches([torch.arange(5)]))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_order_is_that_of_a_subset_random_sampler():
    sampler = SubsetRandomSampler(range(100), generator=epoch_generator(3, 2))
    assert list(sampler) == epoch_order(100, seed=3, epoch=2).tolist()


def test_labels_and_images_belong_together(tmp_path):
    source = made(tmp_path, bad=[3, 17])
    splits = load(source, tmp_path)
    by_pixels = {source.pixels(p).tobytes(): source.labels[p] for p in range(40)}
    for part in (splits.train, splits.val, splits.test):
        for images, labels in part.batches(torch.arange(len(part)).split(4)):
            assert [by_pixels[image.numpy().tobytes()] for image in images] == labels.tolist()


def test_what_was_skipped_is_listed(tmp_path):
    assert load(made(tmp_path, bad=[3, 17]), tmp_path).skipped == ("image 3", "image 17")


def test_normalisation_is_by_mean_and_std_of_the_training_pixels_alone(tmp_path):
    source = made(tmp_path, normalize="dataset")
    splits = load(source, tmp_path)
    train = splits.train.images.numpy() / 255
    np.testing.assert_allclose(splits.mean, train.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(splits.std, train.std((0, 2, 3)), rtol=1e-12)
    whole = np.stack([source.pixels(p) for p in range(40)]) / 255
    assert not np.allclose(splits.mean, whole.mean((0, 2, 3)), rtol=1e-6)


@pytest.mark.parametrize(
    ("normalize", "mean", "std"), [("none", (0.0,) * 3, (1.0,) * 3), ("half", (0.5,) * 3, (0.5,) * 3)]
)
def test_fixed_normalisations(tmp_path, normalize, mean, std):
    splits = load(made(tmp_path, normalize=normalize), tmp_path)
    assert (splits.mean, splits.std) == (mean, std)


def test_a_channel_of_one_value_is_not_divided_by_zero(tmp_path):
    source = made(tmp_path, normalize="dataset", channels=1)

    class Black(type(source)):
        def pixels(self, position):
            return np.zeros(self.shape, np.uint8)

    splits = load(Black(**vars(source)), tmp_path)
    assert (splits.mean, splits.std) == ((0.0,), (1.0,))


def test_a_set_larger_than_the_budget_takes_little_memory_whatever_its_size(tmp_path):
    source = made(tmp_path, labels=[n % 2 for n in range(400)], image_size=200, normalize="dataset", memory_budget_mb=1)
    assert 400 * 3 * 200**2 > 45 * 2**20
    assert peak_mb(lambda: load(source, tmp_path)) < 40
