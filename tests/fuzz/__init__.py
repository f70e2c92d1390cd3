"""Nonsense in: whatever it is, it is refused with a message or dealt with, in bounded memory.

FUZZ_EXAMPLES=20000 python -m pytest tests/fuzz
"""

import os

from hypothesis import HealthCheck, settings

EXAMPLES = os.environ.get("FUZZ_EXAMPLES")


def fuzz(num_examples: int) -> settings:
    """As many examples, the same each time; or as many as FUZZ_EXAMPLES says, new ones each time."""
    return settings(
        max_examples=int(EXAMPLES or num_examples),
        derandomize=EXAMPLES is None,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
