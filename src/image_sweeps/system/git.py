"""The state of the code in git."""

import subprocess
from functools import lru_cache

from image_sweeps.system.home import CHECKOUT


@lru_cache(maxsize=1)  # the imported code counts, not later changes of the checkout
def git_state() -> dict[str, str]:
    """Return `git.commit` and `git.dirty` of the project's checkout; empty if there is no checkout or no git."""
    if CHECKOUT is None:
        return {}

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return {"git.commit": git("rev-parse", "HEAD"), "git.dirty": str(bool(git("status", "--porcelain"))).lower()}
    except (OSError, subprocess.CalledProcessError):
        return {}
