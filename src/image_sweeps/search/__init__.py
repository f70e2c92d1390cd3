"""Searches: a sampler proposes trials one by one, each trial is a cell like any other, and a pruner may end it early.

Optuna (Akiba et al., 2019, arXiv:1907.10902) proposes and prunes; only a running search imports it.
"""
