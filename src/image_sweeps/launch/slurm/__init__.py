"""SLURM: options, the commands, the arrays of a sweep, and a cell's job on its node."""
