"""Sweeps: what a cell is, and how a grid of them is planned."""
