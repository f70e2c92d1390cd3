"""Data sets: verified sources, decoded once, split by a seed, and iterated in batches.

A choice of the group is a subclass of `Dataset`, which knows where its images are and how to decode them. Constructing
one touches no files; `prepare` makes its files available. `load` turns any data set into splits.
"""

from image_sweeps.dataset.images import Images, ImageSet, StreamedSet
from image_sweeps.dataset.load import Splits, load
from image_sweeps.dataset.source import DataError, Dataset, Decoded, Index, Role, Shape

__all__ = [
    "DataError",
    "Dataset",
    "Decoded",
    "ImageSet",
    "Images",
    "Index",
    "Role",
    "Shape",
    "Splits",
    "StreamedSet",
    "load",
]
