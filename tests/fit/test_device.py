import pytest
import torch

from image_sweeps.fit import device
from tests.support.configurations import config_of


def test_a_named_device_is_taken_and_auto_takes_the_best():
    assert device.choose("cpu") == torch.device("cpu")
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert device.choose("auto").type == best


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_cell_sets_determinism_and_leaves_none_to_the_next(deterministic):
    device.make_repeatable(config_of(f"deterministic={deterministic}"))
    assert torch.are_deterministic_algorithms_enabled() is deterministic


@pytest.mark.gpu
def test_a_deterministic_run_on_a_gpu_repeats_bit_for_bit():
    from image_sweeps.fit.loop import fit
    from image_sweeps.model import build

    config = config_of("device=cuda", "deterministic=true", "model=cnn_batch", "epochs=2")
    device.make_repeatable(config)
    source = config.dataset.build(config.data_dir)
    splits, place = source.load(), device.choose("cuda")
    losses = []
    for _ in range(2):
        net = build(config, source.shape, 10, place)
        losses.append([e.train_loss for e in fit(net, splits.train.to(place), splits.val.to(place), config)])
    assert losses[0] == losses[1]
