"""A folder of images, with one folder per class."""

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from image_sweeps.dataset.decode import BadImageError
from image_sweeps.dataset.image_files import ImageFiles
from image_sweeps.dataset.layout import File, is_hidden, shown
from image_sweeps.dataset.source import DataError


@dataclass(frozen=True, kw_only=True)
class ImageFolder(ImageFiles):
    """A folder with one folder per class; see `ImageFiles`.

    Symbolic links below the folder are refused: they could lead anywhere, or in circles.
    """

    name: ClassVar[str] = "image_folder"

    def files(self) -> Iterator[File]:
        if not self.location.is_dir():
            raise DataError(f"dataset.path: {self.location} is no folder; take dataset=image_zip for a ZIP archive")
        try:
            yield from self._below(self.location)
        except OSError as error:
            raise DataError(
                f"{self.location}: {shown(str(error.filename))} cannot be read ({error.strerror})"
            ) from None

    def checksum(self, file: File) -> int:
        try:
            return zlib.crc32(self._read(file))
        except BadImageError as problem:
            raise DataError(f"{self.location}: {shown(file.name)} {problem}") from None

    @contextmanager
    def opened(self) -> Iterator[Callable[[File], bytes]]:
        yield self._read

    def _below(self, root: Path) -> Iterator[File]:
        pending: list[tuple[str, ...]] = [()]
        while pending:
            folder = pending.pop()
            with os.scandir(root.joinpath(*folder)) as entries:
                for entry in entries:
                    parts = (*folder, entry.name)
                    name = "/".join(parts)
                    if is_hidden(parts):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(parts)
                    elif entry.is_file(follow_symlinks=False):
                        yield File(name, parts, entry.stat(follow_symlinks=False).st_size)
                    else:
                        kind = "a symbolic link; put what it leads to" if entry.is_symlink() else "no file; put one"
                        raise DataError(f"{root}: {shown(name)} is {kind} in its place")

    def _read(self, file: File) -> bytes:
        try:
            with self.location.joinpath(*file.parts).open("rb") as opened:
                return opened.read(file.size + 1)
        except OSError as error:
            raise BadImageError(f"cannot be read ({error.strerror})") from None
