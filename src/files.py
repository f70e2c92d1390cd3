"""Files that are either whole or not there."""

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file beside `path`, sync it, and put it in place in one step.

    Whoever opens `path`, at any moment and after any crash, finds the old contents or the new.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """`write_whole` for text, as UTF-8."""
    write_whole(path, lambda file: file.write(text.encode()))


def folder_problem(key: str, path: Path) -> str | None:
    """Why nothing can be written into the folder that `key` names, if so. It is made where it is missing."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path):
            return None
    except (OSError, ValueError) as error:  # ValueError: no path, for a NUL in it
        reason = getattr(error, "strerror", None) or error
        return f"{key} = {str(path)!r}: nothing can be written there ({reason}); name a folder where it can"
