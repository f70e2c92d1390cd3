"""Data sets: verified sources, decoded once into memory, split by seed.

A choice of the group is a subclass of `Dataset`. Building one touches nothing; `prepare` makes its files available, and
`load` decodes them.
"""

from src.dataset.source import DataError, Dataset, ImageSet, Shape, Splits

__all__ = ["DataError", "Dataset", "ImageSet", "Shape", "Splits"]
