"""Decoded images on the disk: each data set is decoded once for each size, and mapped into memory by every cell.

A cache is an array in NumPy's format, which holds no code, beside a small description with its checksum. Both are
checked before they are used; what is damaged is made again.
"""

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from src.dataset.source import Dataset
from src.files import write_text

FORMAT = 1
"""Part of a cache's name; raised when what it holds, or how it is decoded, changes."""


@dataclass(frozen=True)
class Rows:
    """The images that could be decoded.

    Attributes:
        images: uint8, M x C x H x W, memory-mapped, copied where written to.
        positions: int64, M, ascending, of these images in the data set's index.
        path: of the array.
    """

    images: NDArray[np.uint8]
    positions: NDArray[np.int64]
    path: Path


def rows(source: Dataset, num_images: int, cache_dir: Path) -> Rows:
    """The decoded images of `source`, from the cache, which is made or made again where needed.

    Raises:
        DataError: where an image cannot be decoded.
    """
    parts = [source.name, source.fingerprint, f"{source.channels}x{source.image_size}", source.decoding, str(FORMAT)]
    path = cache_dir / ("-".join(part for part in parts if part) + ".npy")
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):  # several cells may want it at once; one decodes, the others wait
        found = _checked(path, source)
        if found is None:
            _write(path, source, num_images)
            found = _checked(path, source)
            assert found is not None
        return found


def _checked(path: Path, source: Dataset) -> Rows | None:
    """The cache at `path`, or None where it is missing or damaged."""
    try:
        description = json.loads(path.with_suffix(".json").read_text())
        images = np.load(path, mmap_mode="c", allow_pickle=False)
        positions = np.array(description["positions"], dtype=np.int64)
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
    whole = images.dtype == np.uint8 and images.shape == (len(positions), *source.shape)
    return Rows(images, positions, path) if whole and _checksum(images) == description.get("crc32") else None


def _write(path: Path, source: Dataset, num_images: int) -> None:
    """Decode `source` into `path`: first beside it, so that an interrupted decoding leaves nothing in place."""
    temporary = path.with_name(f".{path.name}.decoding")
    images = open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(num_images, *source.shape))
    try:
        kept: list[int] = []
        for decoded in source.decode():
            images[len(kept) : len(kept) + len(decoded.positions)] = decoded.images
            kept += decoded.positions.tolist()
        if len(kept) < num_images:
            images = _shortened(images, temporary, len(kept))
        images.flush()
        description = {"positions": kept, "crc32": _checksum(images)}
        path.unlink(missing_ok=True)
        temporary.replace(path)
        write_text(path.with_suffix(".json"), json.dumps(description))
    finally:
        temporary.unlink(missing_ok=True)


def _shortened(
    images: NDArray[np.uint8], path: Path, num_kept: int
) -> "np.memmap[tuple[int, ...], np.dtype[np.uint8]]":
    """The first rows of an array on the disk, as an array on the disk under the same name."""
    path.unlink()  # the old one stays readable as long as it is mapped
    shorter = open_memmap(path, mode="w+", dtype=np.uint8, shape=(num_kept, *images.shape[1:]))
    shorter[:] = images[:num_kept]
    return shorter


def _checksum(images: NDArray[np.uint8]) -> int:
    checksum = 0
    for start in range(0, len(images), 1024):  # a part at a time, or a large set would have to fit into memory
        checksum = zlib.crc32(np.ascontiguousarray(images[start : start + 1024]).data, checksum)
    return checksum
