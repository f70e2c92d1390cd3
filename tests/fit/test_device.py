import pytest
import torch

from image_sweeps.fit import device
from tests.support.configurations import config_of
from tests.support.training import training


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
    settings = ("device=cuda", "deterministic=true", "model=cnn_batch", "epochs=2")
    losses = [[epoch.train_loss for epoch in training(*settings, device="cuda").epochs()] for _ in range(2)]
    assert losses[0] == losses[1]
