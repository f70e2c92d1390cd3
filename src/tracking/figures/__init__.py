"""Figures, drawn without pyplot: its global state outlives a cell."""

from src.tracking.figures.confusion import confusion
from src.tracking.figures.curves import curves
from src.tracking.figures.frame import picture
from src.tracking.figures.mosaic import MAX_MISTAKES, batch, mistakes
from src.tracking.figures.ranking import precision_recall, roc
from src.tracking.figures.reliability import reliability

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
