"""Nonsense in: whatever it is, it is refused with a message or dealt with, in bounded memory."""

import pytest
from hypothesis import HealthCheck, settings

from tests.support.soak import DEPTH, depth


def fuzz(num_examples: int):
    """As many examples, the same each time; in `soak` ten times as many and more, new ones each time."""
    drawn = settings(
        max_examples=depth(num_examples, 10 * num_examples),
        derandomize=not DEPTH,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: pytest.mark.deep(drawn(test))
