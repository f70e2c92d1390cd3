"""Which epoch is the best, and when no better one is waited for (Prechelt, 1998, "Early Stopping - But When?")."""

from image_sweeps.config.schema import EarlyStopping
from image_sweeps.fit.epoch import Epoch


class BestEpoch:
    """The best epoch so far, by the measure that the configuration watches; the checkpoint follows it.

    On equal accuracy the lower loss is better, and on equal loss too the earlier epoch.
    """

    def __init__(self, rule: EarlyStopping) -> None:
        self.rule = rule
        self.best: Epoch | None = None
        self.num_worse = 0

    def improves(self, epoch: Epoch) -> bool:
        """Take notice of `epoch`. Returns whether it is the best now."""
        better = self.best is None or self._better(epoch, self.best)
        self.num_worse = 0 if better else self.num_worse + 1
        if better:
            self.best = epoch
        return better

    @property
    def exhausted(self) -> bool:
        """Whether there were as many epochs without a better one as patience allows."""
        return self.rule.patience is not None and self.num_worse >= self.rule.patience

    def _better(self, epoch: Epoch, best: Epoch) -> bool:
        if self.rule.watch == "val/loss":
            return epoch.val_loss < best.val_loss - self.rule.min_delta
        if self.rule.min_delta == 0 and epoch.val_accuracy == best.val_accuracy:
            return epoch.val_loss < best.val_loss
        return epoch.val_accuracy > best.val_accuracy + self.rule.min_delta
