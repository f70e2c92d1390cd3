"""Training: the loop, what it measures, and the checkpoints it leaves."""
