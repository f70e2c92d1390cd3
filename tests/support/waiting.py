"""Waiting for what another process is about to do."""

import time

DEADLINE_S = 120


def until(condition, what="it", deadline_s=DEADLINE_S):
    """Wait for the condition, but not forever. Returns what it gave."""
    deadline = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)
    return found
