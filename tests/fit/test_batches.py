import pytest
import torch

from image_sweeps.fit.batches import batches, epoch_order, pixels


def test_an_order_visits_every_image_once():
    assert epoch_order(1000, seed=0, epoch=1).sort().values.tolist() == list(range(1000))


def test_an_order_depends_on_seed_and_epoch_alone():
    torch.manual_seed(1)
    first = epoch_order(100, seed=3, epoch=2)
    torch.rand(7)
    assert torch.equal(first, epoch_order(100, seed=3, epoch=2))
    assert not torch.equal(first, epoch_order(100, seed=3, epoch=3))
    assert not torch.equal(first, epoch_order(100, seed=0, epoch=2))


@pytest.mark.parametrize(
    ("num_images", "batch_size", "sizes"),
    [(10, 5, [5, 5]), (12, 5, [5, 5, 2]), (11, 5, [5, 6]), (3, 5, [3]), (1, 5, [1]), (3, 1, [1, 2])],
)
def test_no_image_is_dropped_and_none_is_left_alone(num_images, batch_size, sizes):
    order = torch.arange(num_images)
    parts = batches(order, batch_size)
    assert [len(part) for part in parts] == sizes
    assert torch.equal(torch.cat(parts), order)


def test_pixels_are_fractions_in_channels_last():
    images = pixels(torch.tensor([0, 51, 255], dtype=torch.uint8).repeat(2, 3, 4, 1))
    assert images.dtype == torch.float32
    torch.testing.assert_close(images[0, 0, 0], torch.tensor([0.0, 0.2, 1.0]))
    assert images.is_contiguous(memory_format=torch.channels_last)
