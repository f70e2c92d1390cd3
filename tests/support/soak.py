"""How deep the tests go: `nox -s tests` proves every promise once, `nox -s soak` goes on from there.

A test that is marked `soak` runs in that session only. One that is marked `deep` runs in both, and takes its size from
`depth`; `SOAK_DEPTH=10 nox -s soak` multiplies it.
"""

import os

DEPTH = int(os.environ.get("SOAK_DEPTH", "0"))
"""0 in `tests`; in `soak`, how often its size."""


def depth(shallow: int, deep: int) -> int:
    """How many cases there are: `shallow` in `tests`, a multiple of `deep` in `soak`."""
    return DEPTH * deep if DEPTH else shallow
