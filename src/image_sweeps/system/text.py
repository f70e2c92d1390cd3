"""Text that has to fit into a place."""


def legible(name: str, max_length: int) -> str:
    """Return a name for a figure, in one line; the middle of a long name is left out. Tables have the whole name."""
    line = " ".join(name.split())
    if len(line) <= max_length:
        return line
    tail = max_length // 2
    return f"{line[: max_length - tail - 1]}…{line[-tail:]}"
