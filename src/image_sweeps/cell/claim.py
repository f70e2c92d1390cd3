"""Whose a cell, or a sweep, is where no lock says so: the attempt's that claimed it last.

The locks of a network file system may be missing, or be those of each machine alone (`nolock`, `local_lock` of nfs(5)).
And a scheduler that has lost sight of a machine starts its cells again elsewhere, while they go on there. So every
attempt leaves a token of its own, and looks whether it is still there before it writes what lasts: a fencing token
(M. Kleppmann, "How to do distributed locking", 2016). No clocks are compared.

Between looking and writing another attempt may come. What is written then does no harm: a checkpoint is the one that
the other attempt will come to, and a record that arrives twice is one.
"""

import uuid
from pathlib import Path
from typing import Self

from image_sweeps.cell.folders import CellFile
from image_sweeps.system.files import write_text
from image_sweeps.system.interrupt import Interrupted


class SupersededError(Interrupted):
    """Another attempt has claimed what this one was at; this one is to leave everything as it is."""


class Claim:
    """What an attempt has of a folder until another claims it.

    Args:
        folder: the cell's, or the sweep's.
        token: what this attempt left there.
    """

    def __init__(self, folder: Path, token: str) -> None:
        self.folder, self.token = folder, token

    @classmethod
    def acquire(cls, folder: Path) -> Self:
        """Claim `folder`, whoever had it.

        Raises:
            DiskError: where that cannot be written down.
        """
        claim = cls(folder, uuid.uuid4().hex)
        write_text(folder / CellFile.CLAIM, claim.token)
        return claim

    @classmethod
    def current(cls, folder: Path) -> Self | None:
        """The claim that somebody has on `folder` now, or None where nobody ever had one."""
        path = folder / CellFile.CLAIM
        return cls(folder, path.read_text()) if path.exists() else None

    def raise_if_superseded(self) -> None:
        """Pass where it still holds.

        Raises:
            SupersededError: where another attempt has claimed the folder since.
        """
        if (self.folder / CellFile.CLAIM).read_text() != self.token:
            raise SupersededError(f"{self.folder.name}: another attempt, of whichever machine, has taken it over")
