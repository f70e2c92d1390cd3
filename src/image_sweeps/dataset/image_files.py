"""The common base of archives and folders of images: classes by folder, limits, and decoding."""

import hashlib
import warnings
import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, PositiveInt
from pydantic_core import PydanticCustomError

from image_sweeps.dataset.decode import MOST_PIXELS, BadImageError, pixels
from image_sweeps.dataset.layout import File, Layout, arrange, printable, shown
from image_sweeps.dataset.source import DataError, Dataset, Decoded, Fraction, Index, Role
from image_sweeps.dataset.split import refuse_single_images

Read = Callable[[File], bytes]
"""A function that returns the content of a file, but at most one byte more than the stated size.

Raises:
    BadImageError: if the file cannot be read.
"""

MEGABYTE = 2**20


def _given(path: object) -> object:
    """Refuse an empty path as if the key were missing; otherwise it would mean the working directory."""
    if path in (None, "", "???"):
        raise PydanticCustomError("missing", "Field required")
    return path


@dataclass(frozen=True, kw_only=True)
class ImageFiles(Dataset):
    """Images in files, with one folder per class, or `train`, `val` and `test` with one folder per class each.

    Args:
        path: the path of the archive or folder, relative to the working directory, or else to data_dir.
        test_fraction: the share of the images that is held out for the test, stratified by class, drawn by split_seed;
            unused if there is a `test` folder.
        on_bad_image: `error`: refuse the data set; `skip`: leave out the images that cannot be decoded, and list them.
        max_images: the largest number of files, images or not; a source with more files is refused.
        max_image_mb: the largest size of an image file, unpacked, in MiB; a larger file is refused.
        max_total_mb: the largest size of all image files together, unpacked, in MiB; larger sources are refused.
        max_pixels: the largest number of pixels of an image; a larger image is refused before it is decoded.
    """

    path: Annotated[Path, Field(strict=False), BeforeValidator(_given)]
    test_fraction: Fraction
    on_bad_image: Literal["error", "skip"]
    max_images: PositiveInt
    max_image_mb: PositiveInt
    max_total_mb: PositiveInt
    max_pixels: Annotated[int, Field(ge=1, le=MOST_PIXELS)]

    @abstractmethod
    def files(self) -> Iterable[File]:
        """Return all files, in any order.

        Raises:
            DataError: if the source cannot be read or contains a file that is not allowed.
        """

    @abstractmethod
    def checksum(self, file: File) -> int:
        """Return the CRC-32 of a file's content."""

    @abstractmethod
    def opened(self) -> AbstractContextManager[Read]:
        """Return a context manager that yields the `Read` function of the files, which several threads may call."""

    @cached_property
    def location(self) -> Path:
        """The existing location of `path`, in the working directory or else in data_dir.

        Raises:
            DataError: if nothing exists there.
        """
        places = tuple(dict.fromkeys((self.path.absolute(), (self.data_dir / self.path).absolute())))
        try:
            return next(place for place in places if place.exists())
        except StopIteration:
            looked = " and ".join(printable(str(place)) for place in places)
            raise DataError(f"dataset.path = {str(self.path)!r}: there is nothing; looked for {looked}") from None
        except OSError as error:
            raise DataError(f"dataset.path = {str(self.path)!r}: cannot be reached ({error.strerror})") from None

    @property
    def origin(self) -> str:  # type: ignore[override]
        return self.location.name

    @property
    def class_names(self) -> tuple[str, ...]:
        return self._layout.class_names

    @cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        files = zip(self._layout.images, self._checksums, strict=True)
        for line in sorted(f"{image.place}\0{image.file.size}\0{checksum:08x}\n" for image, checksum in files):
            digest.update(line.encode("utf-8", "surrogatepass"))  # a file name need not be valid text
        return digest.hexdigest()[:16]

    @property
    def decoding(self) -> str:
        return f"skip{self.max_pixels}" if self.on_bad_image == "skip" else ""

    @property
    def held_out(self) -> float | None:
        return None if Role.TEST in self.index().roles else self.test_fraction

    def prepare(self) -> None:
        refuse_single_images(self, self.index())

    def index(self) -> Index:
        labels = np.array([image.label for image in self._layout.images], dtype=np.int64)
        return Index(labels, np.array([image.role for image in self._layout.images], dtype=np.uint8))

    def describe(self, positions: Sequence[int]) -> list[str]:
        return [printable(self._layout.images[position].file.name) for position in positions]

    def decode(self) -> Iterator[Decoded]:
        files = [(image.file, checksum) for image, checksum in zip(self._layout.images, self._checksums, strict=True)]
        num_decoded = 0
        step = self.at_once(64)
        num_threads = cpu_count()
        share = self.memory_budget_mb * MEGABYTE / num_threads
        with self.opened() as read, ThreadPoolExecutor(num_threads) as threads, ThreadPoolExecutor(1) as alone:
            for start in range(0, len(files), step):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # Pillow warns of damage that it ignores; the filter is global
                    chunk = files[start : start + step]
                    images = list(threads.map(lambda file: self._pixels(read, share, alone, *file), chunk))
                kept = {position: image for position, image in enumerate(images, start) if image is not None}
                num_decoded += len(kept)
                if kept:
                    yield Decoded(np.array(list(kept), dtype=np.int64), np.stack(list(kept.values())))
        if not num_decoded:
            raise DataError(
                f"{self.location}: none of its {len(files)} images can be decoded; dataset.on_bad_image=error says why"
            )

    @cached_property
    def _layout(self) -> Layout:
        files = list(islice(self.files(), self.max_images + 1))
        if len(files) > self.max_images:
            raise self.too_many()
        layout = arrange(files, str(self.location))
        for image in layout.images:
            if image.file.size > self.max_image_mb * MEGABYTE:
                raise DataError(
                    f"{self.location}: {shown(image.file.name)} has {image.file.size} bytes; "
                    f"dataset.max_image_mb = {self.max_image_mb} allows {self.max_image_mb * MEGABYTE}"
                )
        if (total := sum(image.file.size for image in layout.images)) > self.max_total_mb * MEGABYTE:
            raise DataError(
                f"{self.location}: its images have {total} bytes, unpacked; "
                f"dataset.max_total_mb = {self.max_total_mb} allows {self.max_total_mb * MEGABYTE}"
            )
        return layout

    def too_many(self) -> DataError:
        """Return the error that the source has more files than allowed."""
        return DataError(f"{self.location}: holds more than the {self.max_images} files that dataset.max_images allows")

    @cached_property
    def _checksums(self) -> list[int]:
        return [self.checksum(image.file) for image in self._layout.images]

    def _pixels(self, read: Read, share: float, alone: Executor, file: File, checksum: int) -> NDArray[np.uint8] | None:
        """Return one image, or None if it cannot be decoded and may be left out.

        An image that takes more than this thread's share of the memory is decoded by one thread that serves all: the
        allocator keeps, for each thread, some of the memory that the thread has freed.
        """
        try:
            data = read(file)
            _refuse_unlike(data, file.size, checksum)
            asked = (data, self.image_size, self.channels, self.max_pixels)
            image = pixels(*asked, share)
            return alone.submit(pixels, *asked).result() if image is None else image
        except BadImageError as problem:
            if self.on_bad_image == "skip":
                return None
            raise DataError(
                f"{self.location}: {shown(file.name)} {printable(str(problem))}. Mend it or take it out, or leave out "
                "every such image with dataset.on_bad_image=skip"
            ) from None


def _refuse_unlike(data: bytes, size: int, checksum: int) -> None:
    if len(data) != size:
        found = "more" if len(data) > size else len(data)
        raise BadImageError(f"has {found} bytes where {size} were stated, or has changed since")
    if zlib.crc32(data) != checksum:
        raise BadImageError("has changed since its checksum was taken")
