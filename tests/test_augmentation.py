import pytest
import torch
from torchvision.transforms.v2 import functional as theirs

from image_sweeps.augmentation import Augmentation
from tests.support.configurations import choices, config_of


@pytest.fixture
def images():
    return torch.rand(64, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def draw(augmentation, images, seed=0):
    return augmentation(images, augmentation.draws(len(images), torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("choice", choices("augmentation"))
@pytest.mark.parametrize("num_channels", [1, 3])
def test_an_augmentation_keeps_shape_range_and_layout_and_repeats_by_seed(images, choice, num_channels):
    augmentation = config_of(f"augmentation={choice}").augmentation.build()
    images = images[:, :num_channels].contiguous(memory_format=torch.channels_last)
    out = draw(augmentation, images)
    assert out.shape == images.shape
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert 0 <= out.min() <= out.max() <= 1 + 1e-6
    assert torch.equal(out, draw(augmentation, images))
    assert choice == "none" or not torch.equal(out, draw(augmentation, images, seed=1))


def test_none_gives_back_what_it_got(images):
    assert draw(config_of("augmentation=none").augmentation.build(), images) is images


@pytest.mark.parametrize("choice", [c for c in choices("augmentation") if c != "none"])
def test_each_image_is_changed_by_itself(choice):
    same = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0)).expand(64, -1, -1, -1)
    out = draw(config_of(f"augmentation={choice}").augmentation.build(), same)
    different = {image.numpy().round(4).tobytes() for image in out}
    assert len(different) == 2 if choice == "flip" else len(different) > 60


def test_an_images_change_does_not_depend_on_its_batch_neighbours(images):
    augmentation = config_of("augmentation=standard").augmentation.build()
    other = images.clone()
    other[1:] = 0
    torch.testing.assert_close(draw(augmentation, images)[0], draw(augmentation, other)[0])


def test_flip_mirrors_about_half_of_the_images(images):
    out = draw(Augmentation(flip=0.5), images)
    mirrored = [torch.allclose(o, i.flip(-1), atol=1e-5) for o, i in zip(out, images, strict=True)]
    kept = [torch.allclose(o, i, atol=1e-5) for o, i in zip(out, images, strict=True)]
    assert all(m != k for m, k in zip(mirrored, kept, strict=True))
    assert 20 <= sum(mirrored) <= 44  # 32 expected, standard deviation 4


def test_a_turn_is_torchvisions():
    ramp = torch.linspace(0, 1, 24).expand(1, 3, 24, 24).contiguous()
    augmentation = Augmentation(degrees=90)
    for turn, degrees in ((1.0, 90), (0.0, -90), (0.75, 45), (0.5, 0)):
        draws = torch.tensor([[0.0, turn, 0.5, 0.5, 0.5, 0.5]])
        grid = torch.nn.functional.affine_grid(augmentation.geometry(draws), [1, 3, 24, 24], align_corners=False)
        ours = torch.nn.functional.grid_sample(ramp, grid, padding_mode="reflection", align_corners=False)
        expected = theirs.rotate(ramp, degrees, theirs.InterpolationMode.BILINEAR)
        torch.testing.assert_close(ours[..., 7:17, 7:17], expected[..., 7:17, 7:17], atol=0.02, rtol=0)


def test_a_crop_is_the_part_it_says_blown_up(images):
    """Scale 1/4 and ratio 1: half the width and height; the draw (0, 0) takes the upper left corner."""
    draws = torch.tensor([[1.0, 0.5, 0.5, 0.5, 0.0, 0.0], [1.0, 0.5, 0.5, 0.5, 1.0, 0.0]])
    geometry = Augmentation(scale=(0.25, 0.25)).geometry(draws)
    grid = torch.nn.functional.affine_grid(geometry, [2, 3, 12, 12], align_corners=False)
    ours = torch.nn.functional.grid_sample(images[:2], grid, padding_mode="reflection", align_corners=False)
    for index, left in ((0, 0), (1, 6)):
        expected = theirs.resized_crop(images[index], 0, left, 6, 6, [12, 12], antialias=False)
        torch.testing.assert_close(ours[index][:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=1e-5, rtol=0)


def test_a_crops_area_and_ratio_stay_within_their_bounds():
    draws = torch.rand(2000, 6, generator=torch.Generator().manual_seed(0))
    geometry = Augmentation(scale=(0.3, 0.6), ratio=(0.8, 1.25)).geometry(draws)
    width, height = geometry[:, 0, 0], geometry[:, 1, 1]
    assert 0.3 - 1e-5 <= (width * height).min() <= (width * height).max() <= 0.6 + 1e-5
    assert 0.8 - 1e-5 <= (width / height).min() <= (width / height).max() <= 1.25 + 1e-5
    centre = geometry[:, :, 2].abs()
    assert (centre[:, 0] + width <= 1 + 1e-5).all()
    assert (centre[:, 1] + height <= 1 + 1e-5).all()


@pytest.mark.parametrize(
    ("change", "column", "oracle"),
    [
        ({"brightness": 0.4}, 0, theirs.adjust_brightness),
        ({"contrast": 0.4}, 1, theirs.adjust_contrast),
        ({"saturation": 0.4}, 2, theirs.adjust_saturation),
    ],
)
@pytest.mark.parametrize("position", [0.0, 0.25, 0.5, 1.0])
def test_colours_change_as_torchvisions(images, change, column, oracle, position):
    draws = torch.full((64, 4), 0.5)
    draws[:, column] = position
    ours = Augmentation(**change).coloured(images, draws)
    expected = oracle(images, 1 + 0.4 * (2 * position - 1))
    torch.testing.assert_close(ours, expected, atol=2e-3, rtol=0)


def test_a_turned_hue_keeps_brightness_and_grey_and_a_full_turn_changes_nothing():
    red = torch.tensor([0.5, 0.4, 0.4]).reshape(1, 3, 1, 1)
    grey = torch.full((1, 3, 1, 1), 0.3)
    weights = torch.tensor([0.299, 0.587, 0.114])
    for position in (0.0, 0.3, 0.9):
        draws = torch.tensor([[0.5, 0.5, 0.5, position]])
        turned = Augmentation(hue=0.5).coloured(red, draws)
        torch.testing.assert_close(turned.flatten() @ weights, red.flatten() @ weights, atol=1e-4, rtol=0)
        torch.testing.assert_close(Augmentation(hue=0.5).coloured(grey, draws), grey, atol=1e-4, rtol=0)
    half = torch.tensor([[0.5, 0.5, 0.5, 1.0]])  # half a turn, twice
    twice = Augmentation(hue=0.5).coloured(Augmentation(hue=0.5).coloured(red, half), half)
    torch.testing.assert_close(twice, red, atol=1e-4, rtol=0)
