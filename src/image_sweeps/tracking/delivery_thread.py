"""The thread that delivers a journal to its store while the run goes on, so that training never waits for the store."""

import logging
import threading
import time
from collections.abc import Callable

from image_sweeps.cell.claim import SupersededError
from image_sweeps.system.files import locked
from image_sweeps.tracking.delivery import Delivery, StoreUnavailableError
from image_sweeps.tracking.journal import LOCK, Journal
from image_sweeps.tracking.store import Store, StoreError, checkpoint_wal

RETRY_S = 5.0
"""The time before a store that took no records is tried again, in seconds."""

GONE = "The tracking store takes no records at the moment: they are kept beside the checkpoints until it does."
BACK = "The tracking store is back, and has the records that were kept."

log = logging.getLogger(__name__)


class DeliveryThread:
    """A thread that delivers the entries of a journal as they come, and those that an earlier attempt has left.

    Args:
        journal: the journal of the run, which has begun.
        connect: opens the store; it may fail while the store is unavailable.
        tell: shows a message to the user, once each time the store becomes unavailable or available again.
    """

    def __init__(self, journal: Journal, connect: Callable[[], Store], tell: Callable[[str], object]) -> None:
        self.journal, self.connect, self.tell = journal, connect, tell
        self._store: Store | None = None
        self._away_since: float | None = None
        self._given_up = False
        self._woken, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="delivery_thread", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Wake the thread, because there are entries to deliver."""
        self._woken.set()

    def close(self, *, settled: bool) -> None:
        """Deliver the remaining entries and end the thread. An unavailable store is tried only once more.

        Args:
            settled: whether no other process is going to write to the store soon.
        """
        self._closing.set()
        self._woken.set()
        self._thread.join()
        if settled and self._store:
            checkpoint_wal(self._store)

    def _run(self) -> None:
        with locked(self.journal.folder / LOCK):
            while True:
                self._woken.wait(RETRY_S if self._away_since else None)
                self._woken.clear()
                closing = self._closing.is_set()
                if closing or not self._away_since or time.monotonic() - self._away_since >= RETRY_S:
                    self._deliver()
                if closing or self._given_up:
                    return

    def _deliver(self) -> None:
        try:
            self.journal.check()
            self._store = self._store or self.connect()
            Delivery(self.journal, self._store).run()
        except SupersededError:  # the attempt that has taken over delivers
            self._given_up = True
        except (StoreUnavailableError, StoreError) as error:
            if self._away_since is None:
                log.info("the store takes no records: %s", error)
                self.tell(GONE)
            self._away_since = time.monotonic()
        else:
            if self._away_since is not None:
                self._away_since = None
                self.tell(BACK)
