"""Sweeps: how a grid of cells is planned, how long it may take, and how it is run."""
