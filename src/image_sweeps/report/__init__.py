"""The report of a sweep: from the records of its cells to numbers, sentences and charts.

The computations do not depend on where records come from (see `records`). No module here imports torch by itself.
"""
