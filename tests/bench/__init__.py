"""How fast this project is, against the same job as a notebook does it and as a bare loop does it."""
