"""Training: the loop, its measurements and its checkpoints."""
