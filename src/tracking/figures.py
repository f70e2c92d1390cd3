"""Figures, drawn without pyplot: its global state outlives a cell."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from src.fit.evaluate import Evaluation
from src.fit.loop import Epoch

COST, ACCURACY = "tab:red", "tab:blue"


def curves(history: Sequence[Epoch], name: str) -> Figure:
    """Training cost and validation accuracy over the epochs in one figure, as the batch-norm study shows them."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    cost = figure.subplots()
    epochs = [epoch.number for epoch in history]
    cost.plot(epochs, [epoch.train_loss for epoch in history], "o-", color=COST)
    cost.set_xlabel("epoch")
    cost.set_ylabel("training cost (mean cross-entropy, nats)", color=COST)
    cost.tick_params(axis="y", colors=COST)
    cost.set_ylim(bottom=0)
    cost.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    accuracy = cost.twinx()
    accuracy.plot(epochs, [epoch.val_accuracy for epoch in history], "s-", color=ACCURACY)
    accuracy.set_ylabel("validation accuracy", color=ACCURACY)
    accuracy.tick_params(axis="y", colors=ACCURACY)
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0))
    cost.set_title(name, fontsize="medium", wrap=True)
    return figure


def confusion(evaluation: Evaluation, class_names: Sequence[str]) -> Figure:
    """The test split's confusion matrix: shares of each true class, with the counts written in."""
    counts = evaluation.confusion
    num_classes = len(class_names)
    size = min(4 + 0.45 * num_classes, 24)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(num_classes), class_names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(num_classes), class_names)
    axes.set_xlabel("prediction")
    axes.set_ylabel("label")
    axes.set_title(f"test accuracy {evaluation.accuracy:.1%}", fontsize="medium")
    figure.colorbar(image, ax=axes, format=PercentFormatter(1.0), label="share of the label", shrink=0.8)
    if num_classes <= 40:  # more would be unreadable
        for (row, column), count in np.ndenumerate(counts):
            if count:
                ink = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=ink, fontsize="small")
    return figure
