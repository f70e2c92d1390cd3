"""Figures, drawn without pyplot, whose global state would outlive a cell."""

from image_sweeps.tracking.figures.confusion import confusion
from image_sweeps.tracking.figures.curves import curves
from image_sweeps.tracking.figures.frame import picture
from image_sweeps.tracking.figures.mosaic import MAX_MISTAKES, batch, mistakes
from image_sweeps.tracking.figures.reliability import reliability
from image_sweeps.tracking.figures.threshold_curves import precision_recall, roc

__all__ = [
    "MAX_MISTAKES",
    "batch",
    "confusion",
    "curves",
    "mistakes",
    "picture",
    "precision_recall",
    "reliability",
    "roc",
]
