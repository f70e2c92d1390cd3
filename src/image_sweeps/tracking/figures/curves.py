"""The figure of training cost and validation accuracy."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from image_sweeps.fit.epoch import Epoch
from image_sweeps.tracking.figures.frame import heading, new_figure, place, wrapped

COST, ACCURACY = "tab:red", "tab:blue"
WIDTH = 7.0


def curves(history: Sequence[Epoch], name: str) -> Figure:
    """Draw training cost and validation accuracy over the epochs in one figure, as the batch-norm study shows them."""
    figure = new_figure(WIDTH, 4.2)
    heading(figure, "Training cost and validation accuracy", *wrapped(name, WIDTH)[:2])
    cost = place(figure, 0.8, 0.55, 5.35, 2.85)
    epochs = [epoch.number for epoch in history]
    marked = len(history) <= 40  # more would hide the line
    cost.plot(epochs, [epoch.train_loss for epoch in history], "o-" if marked else "-", color=COST)
    cost.set_xlabel("epoch")
    cost.set_ylabel("training cost (mean cross-entropy, nats)", color=COST)
    cost.tick_params(axis="y", colors=COST)
    cost.set_ylim(bottom=0)
    cost.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    accuracy = cost.twinx()
    accuracy.spines["top"].set_visible(False)
    accuracy.plot(epochs, [epoch.val_accuracy for epoch in history], "s-" if marked else "-", color=ACCURACY)
    accuracy.set_ylabel("validation accuracy", color=ACCURACY)
    accuracy.tick_params(axis="y", colors=ACCURACY)
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0))
    return figure
