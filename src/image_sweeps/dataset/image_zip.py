"""A ZIP archive of images, with one folder per class, read into memory and never unpacked to the disk."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, ClassVar
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from image_sweeps.dataset.decode import BadImageError
from image_sweeps.dataset.image_files import ImageFiles
from image_sweeps.dataset.layout import File, printable, shown
from image_sweeps.dataset.source import DataError

DAMAGE = (BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError, OverflowError)
"""The exceptions that `zipfile` raises on damaged archives."""

TRUNCATED = "is a ZIP archive that is truncated or damaged. Copy or download it again"
NO_ARCHIVE = "is no ZIP archive. Zip the folder of images, or take dataset=image_folder with the folder itself"

ENCRYPTED, UTF_8 = 0x1, 0x800
"""Flag bits of a member of an archive."""

ENTRY_BYTES = 512
"""An upper bound of a member's mean size in the archive's directory: 46 bytes, its name, and additions of archivers."""

Parts = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ImageZip(ImageFiles):
    """A ZIP archive with one folder per class; see `ImageFiles`.

    No size that the archive states is trusted. Only stored and deflated members are read: `zipfile` cannot unpack
    other members up to a limit.
    """

    name: ClassVar[str] = "image_zip"

    def files(self) -> Iterator[File]:
        for parts, member in self._members.items():
            yield File(_name(member), parts, member.file_size)

    def checksum(self, file: File) -> int:
        return self._members[file.parts].CRC

    @contextmanager
    def opened(self) -> Iterator[Callable[[File], bytes]]:
        with self._archive(lambda: self.location.open("rb")) as archive:

            def read(file: File) -> bytes:
                try:
                    with archive.open(self._members[file.parts]) as member:
                        return member.read(file.size + 1)
                except (*DAMAGE, OSError) as error:
                    raise BadImageError(f"cannot be read ({type(error).__name__}: {error})") from None

            yield read

    @cached_property
    def _members(self) -> dict[Parts, ZipInfo]:
        members: dict[Parts, ZipInfo] = {}
        for member in self._directory():
            name = _name(member)
            parts = tuple(part for part in name.split("/") if part not in ("", "."))
            if name.startswith("/") or ".." in parts or (parts and parts[0][1:] == ":"):
                raise self._refusal(name, "leads out of the archive; nothing was unpacked. Make the archive anew")
            if not parts or name.endswith("/"):
                continue
            if member.flag_bits & ENCRYPTED:
                raise self._refusal(name, "is encrypted. Make the archive anew, without a password")
            if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
                method = f"method {member.compress_type}"
                raise self._refusal(name, f"is compressed by {method}; only deflate is read. Make the archive anew")
            if parts in members:
                raise self._refusal(name, "stands in it twice. Make the archive anew, with each name once")
            members[parts] = member
        return members

    def _directory(self) -> list[ZipInfo]:
        """Return the entries of the archive's directory."""
        if self.location.is_dir():
            raise DataError(f"dataset.path: {self.location} is a folder; take dataset=image_folder")
        if not self.location.is_file():
            raise DataError(f"dataset.path: {self.location} is no file; give a ZIP archive")
        limit = self.max_images * ENTRY_BYTES
        with self._archive(lambda: _Bounded(self.location, limit, self.too_many())) as archive:
            members = archive.infolist()
        if len(members) > self.max_images:
            raise self.too_many()
        return members

    @contextmanager
    def _archive(self, open_file: Callable[[], BinaryIO]) -> Iterator[ZipFile]:
        with ExitStack() as opened:
            begins = b""
            try:
                file = opened.enter_context(open_file())
                begins = file.read(2)
                archive = opened.enter_context(ZipFile(file))
            except OSError as error:
                raise DataError(f"{self.location}: cannot be read ({error.strerror})") from None
            except DAMAGE as error:
                kind = TRUNCATED if begins == b"PK" else NO_ARCHIVE
                raise DataError(f"{self.location}: {kind} ({printable(str(error))})") from None
            yield archive

    def _refusal(self, name: str, problem: str) -> DataError:
        return DataError(f"{self.location}: {shown(name)} {problem}")


class _Bounded(io.FileIO):
    """A file that raises `refusal` if more than `limit` bytes are requested in one read.

    `zipfile` reads the directory of an archive in one piece, whatever its length, and makes an object of each entry.
    """

    def __init__(self, path: Path, limit: int, refusal: Exception) -> None:
        super().__init__(path)
        self.limit = limit
        self.refusal = refusal

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.limit:
            raise self.refusal
        return super().read(size) or b""


def _name(member: ZipInfo) -> str:
    """Return a member's name with its folders separated by `/`.

    Some archivers separate by backslashes, and some write UTF-8 without its flag: `zipfile` reads it as code page 437.
    """
    name = member.filename
    if not member.flag_bits & UTF_8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode()
    return name.replace("\\", "/")
