"""A cache of decoded images on the disk: each data set is decoded once per size, and every cell maps it into memory.

A cache is an array in NumPy's format, which holds no code, and beside it a small description with a checksum. Both are
checked before they are used; a damaged cache is made again.
"""

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray

from image_sweeps.dataset.source import Dataset
from image_sweeps.system.files import locked, write_text, write_whole

FORMAT = 1
"""A part of the name of a cache; increase it when the contents of a cache or the decoding change."""


@dataclass(frozen=True)
class Rows:
    """The images that could be decoded.

    Attributes:
        images: uint8, M x C x H x W, memory-mapped, copy-on-write.
        positions: int64, M, ascending positions of these images in the data set's index.
        path: the path of the file that holds the array.
    """

    images: NDArray[np.uint8]
    positions: NDArray[np.int64]
    path: Path


def rows(source: Dataset, num_images: int, cache_dir: Path) -> Rows:
    """Return the decoded images of `source` from the cache, which is made if it is missing or damaged.

    Raises:
        DataError: if an image cannot be decoded.
        DiskError: if the disk refuses the cache.
    """
    parts = [source.name, source.fingerprint, f"{source.channels}x{source.image_size}", source.decoding, str(FORMAT)]
    path = cache_dir / ("-".join(part for part in parts if part) + ".npy")
    with locked(path.with_suffix(".lock")):  # several cells may want it at once; one decodes, the others wait
        found = _checked(path, source)
        if found is None:
            _write(path, source, num_images)
            found = _checked(path, source)
            assert found is not None
        return found


def _checked(path: Path, source: Dataset) -> Rows | None:
    """Return the cache at `path`, or None if it is missing or damaged."""
    try:
        description = json.loads(path.with_suffix(".json").read_text())
        images = np.load(path, mmap_mode="c", allow_pickle=False)
        positions = np.array(description["positions"], dtype=np.int64)
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
    whole = images.dtype == np.uint8 and images.shape == (len(positions), *source.shape)
    return Rows(images, positions, path) if whole and _checksum(images) == description.get("crc32") else None


def _write(path: Path, source: Dataset, num_images: int) -> None:
    """Decode `source` into `path`. The description is written last, because without it the array is not used.

    Raises:
        DiskError: if the disk refuses the cache.
    """
    kept: list[int] = []
    checksum = 0

    def decode(file: BinaryIO) -> None:  # written, not mapped: a full disk kills the writer of a map by SIGBUS
        nonlocal checksum
        _write_header(file, (num_images, *source.shape))
        start = file.tell()
        for decoded in source.decode():
            rows = np.ascontiguousarray(decoded.images).data
            checksum = zlib.crc32(rows, checksum)
            file.write(rows)
            kept.extend(decoded.positions.tolist())
        file.seek(0)
        _write_header(file, (len(kept), *source.shape))
        assert file.tell() == start, "NumPy leaves room in a header for a first axis of any length"

    write_whole(path, decode)
    write_text(path.with_suffix(".json"), json.dumps({"positions": kept, "crc32": checksum}))


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write the header of a uint8 array in NumPy's format."""
    write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _checksum(images: NDArray[np.uint8]) -> int:
    checksum = 0
    for start in range(0, len(images), 1024):  # in parts, because a large set may not fit into memory
        checksum = zlib.crc32(np.ascontiguousarray(images[start : start + 1024]).data, checksum)
    return checksum
