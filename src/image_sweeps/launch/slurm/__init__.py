"""The SLURM launcher: its options, the SLURM commands, the job arrays of a sweep, and a cell's job on its node."""
