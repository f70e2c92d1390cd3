"""A search: trials that a sampler proposes one by one, each a cell like any other, and a pruner may end early.

Optuna (Akiba et al., 2019, arXiv:1907.10902) proposes and prunes; it is imported where a search is run, and nowhere
else.
"""
