"""The claim on a cell or a sweep: without reliable locks, the folder belongs to the attempt that claimed it last.

The locks of a network file system may be missing, or may hold on one machine only (`nolock`, `local_lock` of nfs(5)).
A scheduler that has lost contact with a machine starts its cells again elsewhere, while they still run there. Every
attempt therefore leaves its own token, and checks that the token is still there before it writes anything that lasts:
a fencing token (M. Kleppmann, "How to do distributed locking", 2016). No clocks are compared.

Another attempt may claim the folder between the check and the write. Such a write does no harm: a checkpoint is one
that the other attempt will reach too, and a record that arrives twice is stored once.
"""

import uuid
from pathlib import Path
from typing import Self

from image_sweeps.cell.folders import CellFile
from image_sweeps.system.files import write_text
from image_sweeps.system.interrupt import Interrupted


class SupersededError(Interrupted):
    """Another attempt has claimed the folder of this attempt, which must leave everything as it is."""


class Claim:
    """The claim of an attempt on a folder, which holds until another attempt claims the folder.

    Args:
        folder: the folder of the cell or of the sweep.
        token: the token that the attempt left in the folder.
    """

    def __init__(self, folder: Path, token: str) -> None:
        self.folder, self.token = folder, token

    @classmethod
    def acquire(cls, folder: Path) -> Self:
        """Claim `folder`, even if another attempt has claimed it.

        Raises:
            DiskError: if the token cannot be written.
        """
        claim = cls(folder, uuid.uuid4().hex)
        write_text(folder / CellFile.CLAIM, claim.token)
        return claim

    @classmethod
    def current(cls, folder: Path) -> Self | None:
        """Return the present claim on `folder`, or None if no attempt ever claimed it."""
        path = folder / CellFile.CLAIM
        return cls(folder, path.read_text()) if path.exists() else None

    def raise_if_superseded(self) -> None:
        """Check that the claim still holds.

        Raises:
            SupersededError: if another attempt has claimed the folder since.
        """
        if (self.folder / CellFile.CLAIM).read_text() != self.token:
            raise SupersededError(f"{self.folder.name}: another attempt, of whichever machine, has taken it over")
