"""What a cell is, how far it has come, and the files that it leaves in its folder."""
