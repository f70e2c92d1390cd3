"""Configurations: their schema, their composition by Hydra, and the checks of everything that can be wrong."""
