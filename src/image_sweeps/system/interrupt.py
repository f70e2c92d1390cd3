"""Handling of Ctrl-C and SIGTERM: the first signal asks to stop at the next safe point, the second stops at once."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self


class Interrupted(Exception):  # noqa: N818, nothing went wrong
    """The cell stopped because it was asked to; it can be resumed."""


class Interrupt:
    """A record of whether a stop was requested.

    Attributes:
        signal: the first signal that arrived, or None.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    @property
    def requested(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """The exit code that a shell expects of a process that this signal ended."""
        return 128 + (self.signal or signal.SIGINT)

    @classmethod
    @contextmanager
    def on_signals(cls) -> Iterator[Self]:
        """Listen to SIGINT and SIGTERM while the block runs; the second signal raises KeyboardInterrupt.

        Call this in the main thread, because only the main thread receives signals. A nested block shares the
        `Interrupt` of the outer block, so that a signal from before it began is not lost.
        """
        outer = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
        if isinstance(outer, cls):
            yield outer
            return
        interrupt = cls()
        before = {number: signal.signal(number, interrupt._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield interrupt
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)


@contextmanager
def wakeup_fd() -> Iterator[int]:
    """Yield a file descriptor that a signal makes readable: a wait alone would resume after a signal (PEP 475)."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)
