import pytest

from image_sweeps.config.schema import EarlyStopping
from image_sweeps.fit.early_stopping import BestEpoch
from image_sweeps.fit.epoch import Epoch


def followed(epochs, watch="val/accuracy", min_delta=0.0, patience=None):
    """The numbers of the epochs that were the best in their turn, and the one after which training stops."""
    rule = BestEpoch(EarlyStopping(watch=watch, min_delta=min_delta, patience=patience))
    best, number = [], 0
    for number, (accuracy, loss) in enumerate(epochs, start=1):
        if rule.improves(Epoch(number, 0.0, 0.0, 0.0, loss, accuracy, 0.1, 0.0, 0)):
            best.append(number)
        if rule.exhausted:
            break
    return best, number


@pytest.mark.parametrize(
    ("rule", "epochs", "best", "last"),
    [
        ({}, [(0.5, 1.0), (0.6, 2.0), (0.5, 0.5)], [1, 2], 3),
        ({}, [(0.5, 1.0), (0.5, 0.9), (0.5, 0.9)], [1, 2], 3),
        ({"watch": "val/loss"}, [(0.5, 1.0), (0.6, 2.0), (0.1, 0.5)], [1, 3], 3),
        ({"min_delta": 0.05}, [(0.5, 1.0), (0.54, 0.1), (0.56, 1.0)], [1, 3], 3),
        ({"watch": "val/loss", "min_delta": 0.2}, [(0.5, 1.0), (0.5, 0.9), (0.5, 0.7)], [1, 3], 3),
        ({"patience": 2}, [(0.5, 1.0), (0.4, 1.0), (0.6, 1.0), (0.5, 1.0), (0.5, 1.0), (0.9, 0.1)], [1, 3], 5),
        ({"patience": 1}, [(0.5, 1.0), (0.5, 1.0), (0.9, 1.0)], [1], 2),
    ],
)
def test_the_best_epoch_and_the_end(rule, epochs, best, last):
    assert followed(epochs, **rule) == (best, last)
