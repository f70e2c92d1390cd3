"""Ctrl-C and SIGTERM, as they are meant: the first asks to stop at the next safe place, the second stops at once."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self


class Interrupted(Exception):  # noqa: N818, nothing went wrong
    """The cell was asked to stop, and has; it can be gone on with."""


class Interrupt:
    """Whether somebody asked to stop.

    Attributes:
        signal: the first one that came, or None.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    @property
    def requested(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that this signal ended."""
        return 128 + (self.signal or signal.SIGINT)

    @classmethod
    @contextmanager
    def on_signals(cls) -> Iterator[Self]:
        """Listen to SIGINT and SIGTERM for as long as the block runs; the second of them raises KeyboardInterrupt.

        Signals reach the main thread only: this is to be called there. A block inside another listens to the same
        signals: one that came before it began is not lost.
        """
        outer = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
        if isinstance(outer, cls):
            yield outer
            return
        interrupt = cls()
        before = {number: signal.signal(number, interrupt._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield interrupt
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)


@contextmanager
def waking() -> Iterator[int]:
    """What becomes readable when a signal comes: waiting goes on after a signal as if there had been none (PEP 475)."""
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
