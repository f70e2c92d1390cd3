"""How cells run: one attempt at a cell, its process, and who hands cells to processes, here or on other machines."""
