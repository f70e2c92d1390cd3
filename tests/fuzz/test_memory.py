"""Archives and images made to fill the memory: what a process really holds stays within what the limits say.

While images are decoded that is, beyond the 128 MB of a chunk of them: `max_image_mb` for each thread, twice, for the
bytes of a file; for pixels `memory_budget_mb`, and what one image of `max_pixels` takes; and what the allocator keeps.
"""

import json
import struct
import zipfile
import zlib

import pytest
from PIL import Image

from image_sweeps.dataset.decode import BYTES_PER_PIXEL, OF_WEBP
from tests.support import warm
from tests.support.archives import encoded, two_classes, write_folder
from tests.support.peak import CLEAR

MB = 2**20
BOMB = 10 * 2**30  # bytes, unpacked
LIMITS = {"max_image_mb": 16, "max_total_mb": 64, "max_pixels": 4_000_000, "memory_budget_mb": 8, "threads": 2}

pytestmark = pytest.mark.skipif(not CLEAR.exists(), reason="only Linux says how much a process holds")


def peak(kind, path, **settings):
    """What reading comes to, and how many MB it takes at most."""
    done = warm.run(kind, path, json.dumps({**LIMITS, **settings}), module="tests.support.peak")
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    return measured["said"], measured["peak_mb"]


def zeros(num_bytes):
    """A deflated stream of so many zeros, a thousandth of them, in pieces."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    yield packer.compress(bytes(MB)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(MB)) + packer.flush(zlib.Z_FULL_FLUSH)  # the same each time from here on
    yield from (again for _ in range(num_bytes // MB - 1))
    yield packer.flush(zlib.Z_FINISH)


def bomb(path, stated, name="b/bomb.png"):
    """An archive with a member that states so many bytes and unpacks to 10 GB."""
    with zipfile.ZipFile(path, "w") as archive:
        for other, data in two_classes().items():
            archive.writestr(other, data)
        member = zipfile.ZipInfo(name)
        member.compress_type, member.file_size, member.CRC = zipfile.ZIP_DEFLATED, stated, 0
        member.compress_size = sum(map(len, zeros(BOMB)))
        member.header_offset = archive.fp.tell()
        archive.fp.write(member.FileHeader())
        for piece in zeros(BOMB):
            archive.fp.write(piece)
        archive.start_dir = archive.fp.tell()
        archive.filelist.append(member)
    return path


def test_the_bombs_are_real():
    unpacker, size = zlib.decompressobj(-15), 0
    for piece in zeros(64 * MB):
        size += len(unpacker.decompress(piece))
    assert (size, unpacker.eof) == (64 * MB, True)


def test_a_measured_process_holds_what_it_reads(tmp_path):
    files = two_classes() | {"b/large.bmp": encoded(Image.new("RGB", (2000, 2000)), "BMP")}
    said, peak_mb = peak("folder", write_folder(tmp_path / "x", files))
    assert said == "9 images"
    assert peak_mb > 24  # 11 of the file, 15 of its pixels


def test_ten_real_gigabytes_that_are_stated_are_refused_without_unpacking(tmp_path):
    said, peak_mb = peak("zip", bomb(tmp_path / "x.zip", BOMB), max_image_mb=10_000, max_total_mb=100_000)
    assert said.endswith("b/bomb.png has 10737418240 bytes; dataset.max_image_mb = 10000 allows 10485760000")
    assert peak_mb < 8


@pytest.mark.parametrize("stated", [1000, pytest.param(16 * MB, marks=pytest.mark.soak)])
def test_ten_real_gigabytes_that_are_not_stated_are_unpacked_no_further_than_the_limit(tmp_path, stated):
    path = bomb(tmp_path / "x.zip", stated)
    assert path.stat().st_size < 11 * MB
    said, peak_mb = peak("zip", path, on_bad_image="skip")
    assert said == "8 images"
    assert peak_mb < 2 * LIMITS["max_image_mb"] + 24


@pytest.mark.parametrize("name", ["b/inner.zip", pytest.param("b/inner.png", marks=pytest.mark.soak)])
def test_an_archive_in_an_archive_is_not_unpacked(tmp_path, name):
    inner = bomb(tmp_path / "inner.zip", 1000).read_bytes()
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for other, data in (two_classes() | {name: inner}).items():
            archive.writestr(other, data)
    said, peak_mb = peak("zip", tmp_path / "x.zip")
    assert f"{name} is no JPEG, PNG, WEBP, BMP or GIF" in said
    assert peak_mb < 2 * LIMITS["max_image_mb"] + 24


def chunk(kind, data):
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def pairs(firsts, seconds):
    """All pairs; every value is in one that is for `tests`, as the two have nothing to do with each other."""
    for number, first in enumerate(firsts):
        for other, second in enumerate(seconds):
            chosen = number % len(seconds) == other
            yield pytest.param(first, second, marks=() if chosen else pytest.mark.soak)


@pytest.mark.parametrize(("kind", "side"), list(pairs(["zip", "folder"], [2**31 - 1, 2**16])))
def test_a_header_of_huge_dimensions_is_enough_to_refuse(tmp_path, kind, side):
    header = struct.pack(">2L5B", side, side, 16, 6, 0, 0, 0)  # RGBA of 16 bits a channel
    huge = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(MB))) + chunk(b"IEND", b"")
    )
    files = two_classes() | {"b/huge.png": huge}
    path = write_folder(tmp_path / "x", files)
    if kind == "zip":
        path = tmp_path / "x.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    said, peak_mb = peak(kind, path)
    assert "b/huge.png has " in said
    assert said.count("dataset.max_pixels = 4000000 allows fewer") == 1
    assert peak_mb < 8


KINDS = {"RGBA": ("PNG", {}), "P": ("GIF", {"transparency": 0}), "I;16": ("PNG", {}), "CMYK": ("JPEG", {})}


@pytest.mark.parametrize(("mode", "threads"), list(pairs(KINDS, [16, 2])))
def test_many_threads_together_take_no_more_than_one_large_image(tmp_path, mode, threads):
    file_format, settings = KINDS[mode]
    path = large(tmp_path, threads + 2, mode, file_format, **settings)
    said, peak_mb = peak("folder", path, threads=threads)
    assert said == f"{threads + 10} images"
    assert peak_mb < BYTES_PER_PIXEL * LIMITS["max_pixels"] / MB + 24


def test_webp_takes_a_little_more_for_each_thread_that_looks_at_its_header(tmp_path):
    said, peak_mb = peak("folder", large(tmp_path, 4, "RGBA", "WEBP", lossless=True, method=0))
    assert said == "12 images"
    assert peak_mb < OF_WEBP * LIMITS["max_pixels"] / MB + 24 + 64 * LIMITS["threads"]


def test_a_budget_for_several_images_is_used_and_kept(tmp_path):
    path = large(tmp_path, 8, "RGBA", "PNG")
    _, alone = peak("folder", path, threads=4)
    _, together = peak("folder", path, threads=4, memory_budget_mb=260)  # 4 of 61 MB, by their headers
    assert alone < 64
    assert 1.5 * alone < together < 260


def large(tmp_path, num_large, mode, file_format, **settings):
    """A folder of 8 small images and so many of 4,000,000 pixels, in files of less than 1 MB."""
    data = encoded(Image.new(mode, (2000, 2000)), file_format, **settings)
    assert len(data) < MB
    return write_folder(
        tmp_path / "x", two_classes() | {f"b/{number}.png": data for number in range(10, 10 + num_large)}
    )
