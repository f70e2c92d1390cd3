"""Cells, their status, and the files in their folders."""
