"""Memory that threads share: those that decode large images at once wait for each other instead of filling it."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Room:
    """So many bytes, of which each thread takes what its work needs, and waits until there are as many.

    Work that needs more than all of them is done alone.
    """

    def __init__(self, num_bytes: int) -> None:
        self.num_bytes = num_bytes
        self._free = num_bytes
        self._freed = Condition()

    @contextmanager
    def taken(self, num_bytes: int) -> Iterator[None]:
        """So many bytes of it, for as long as the block runs."""
        amount = min(num_bytes, self.num_bytes)
        with self._freed:
            self._freed.wait_for(lambda: self._free >= amount)
            self._free -= amount
        try:
            yield
        finally:
            with self._freed:
                self._free += amount
                self._freed.notify_all()
