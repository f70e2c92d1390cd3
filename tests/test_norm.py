import pytest
import torch

from image_sweeps.norm import BatchNorm, GroupNorm, LayerNorm, NoNorm


def standardised(x, dims, eps=1e-5):
    mean = x.mean(dims, keepdim=True)
    return (x - mean) / (x.var(dims, unbiased=False, keepdim=True) + eps).sqrt()


@pytest.fixture
def maps():
    return torch.randn(8, 6, 5, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def vectors():
    return torch.randn(8, 12, generator=torch.Generator().manual_seed(0))


def test_batch_norm_standardises_each_channel_over_batch_and_positions(maps, vectors):
    norm = BatchNorm(eps=1e-5, momentum=0.1)
    torch.testing.assert_close(norm.maps(6)(maps), standardised(maps, (0, 2, 3)))
    torch.testing.assert_close(norm.vectors(12)(vectors), standardised(vectors, (0,)))


def test_batch_norm_weighs_the_newest_batch_by_its_momentum(vectors):
    layer = BatchNorm(eps=1e-5, momentum=0.3).vectors(12)
    layer(vectors)
    torch.testing.assert_close(layer.running_mean, 0.3 * vectors.mean(0))


def test_layer_norm_standardises_each_image(maps, vectors):
    norm = LayerNorm(eps=1e-5)
    torch.testing.assert_close(norm.maps(6)(maps), standardised(maps, (1, 2, 3)))
    torch.testing.assert_close(norm.vectors(12)(vectors), standardised(vectors, (1,)))


def test_group_norm_standardises_groups_of_channels(maps, vectors):
    norm = GroupNorm(num_groups=2, eps=1e-5)
    expected = standardised(maps.reshape(8, 2, 3, 5, 4), (2, 3, 4)).reshape(8, 6, 5, 4)
    torch.testing.assert_close(norm.maps(6)(maps), expected)
    expected = standardised(vectors.reshape(8, 2, 6), (2,)).reshape(8, 12)
    torch.testing.assert_close(norm.vectors(12)(vectors), expected)


def test_no_norm_changes_nothing(maps):
    assert NoNorm().maps(6)(maps) is maps


def test_groups_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match=r"norm\.num_groups = 4: must divide the 6 channels .* 1, 2, 3, 6 do"):
        GroupNorm(num_groups=4, eps=1e-5).maps(6)


@pytest.mark.parametrize(
    ("norm", "setting"),
    [(LayerNorm(eps=1e-5), "norm=layer"), (GroupNorm(num_groups=1, eps=1e-5), r"norm\.num_groups = 1")],
)
def test_norms_that_leave_constants_on_two_logits_are_refused(norm, setting):
    with pytest.raises(ValueError, match=rf"{setting}: would normalise over 2 values of a vector"):
        norm.vectors(2)
