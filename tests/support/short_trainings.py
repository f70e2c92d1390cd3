"""Settings of trainings that are short and yet give every part something to remember, and what they come to."""

import hashlib

import torch

FEW = ("seed=3", "epochs=4", "dataset.test_fraction=0.7", "dataset.val_fraction=0.4")  # 323 images train

AT_WORK = {
    "optimizer=sgd": "optimizer.lr=0.02 optimizer.momentum=0.9",
    "scheduler=step": "scheduler.every_epochs=1",
    "scheduler=plateau": "scheduler.patience=0 scheduler.threshold=0.3",
}
"""What gives a choice something to remember within these few epochs; others do so by their defaults."""


def bits(state):
    """The same for the same bits, and short enough to be shown."""
    if isinstance(state, torch.Tensor):
        content = hashlib.sha256(state.detach().contiguous().numpy().tobytes()).hexdigest()
        return state.dtype, tuple(state.shape), content
    if isinstance(state, dict):
        return {key: bits(value) for key, value in state.items()}
    return [bits(value) for value in state] if isinstance(state, list | tuple) else state
