"""The best epoch, and the early stopping of training (Prechelt, 1998, "Early Stopping - But When?")."""

from image_sweeps.config.schema import EarlyStopping
from image_sweeps.fit.epoch import Epoch


class BestEpoch:
    """The best epoch so far, by the measure that the configuration watches; its weights are kept for the test.

    If accuracy is watched and `min_delta` is 0, the lower loss decides between equal accuracies. In any other tie, the
    earlier epoch is the best.
    """

    def __init__(self, rule: EarlyStopping) -> None:
        self.rule = rule
        self.best: Epoch | None = None
        self.num_worse = 0

    def improves(self, epoch: Epoch) -> bool:
        """Record `epoch`, and return whether it is the best so far."""
        better = self.best is None or self._better(epoch, self.best)
        self.num_worse = 0 if better else self.num_worse + 1
        if better:
            self.best = epoch
        return better

    @property
    def exhausted(self) -> bool:
        """Whether `patience` epochs in a row were no better than the best; never, if `patience` is None."""
        return self.rule.patience is not None and self.num_worse >= self.rule.patience

    def _better(self, epoch: Epoch, best: Epoch) -> bool:
        if self.rule.watch == "val/loss":
            return epoch.val_loss < best.val_loss - self.rule.min_delta
        if self.rule.min_delta == 0 and epoch.val_accuracy == best.val_accuracy:
            return epoch.val_loss < best.val_loss
        return epoch.val_accuracy > best.val_accuracy + self.rule.min_delta
