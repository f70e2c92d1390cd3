"""The execution of cells: one attempt at a cell, its process, and the launchers for this and other machines."""
