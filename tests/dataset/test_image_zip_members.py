"""Members of an archive that are not what it says, and such as would fill the memory."""

import struct
import zipfile
import zlib

import numpy as np
import pytest

from tests.support.archives import (
    all_images,
    encoded,
    image_zip,
    noise,
    patch,
    peak_mb,
    problem,
    problem_decoding,
    two_classes,
    write_zip,
)


@pytest.fixture
def path(tmp_path):
    return write_zip(tmp_path / "x.zip", two_classes())


def assert_only_this_one_is_bad(path, name, text):
    assert problem_decoding(image_zip(path)).startswith(f"{name} {text}")
    source = image_zip(path, on_bad_image="skip")
    positions, _ = all_images(source)
    lost = sorted(set(range(len(source.index().labels))) - set(positions.tolist()))
    assert source.describe(lost) == [name]


def test_a_wrong_checksum_is_found(path):
    patch(path, "a/1.png", crc=12345)
    assert_only_this_one_is_bad(path, "a/1.png", "cannot be read (BadZipFile: Bad CRC-32 for file 'a/1.png')")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_longer_than_stated_is_found(tmp_path, method):
    path = write_zip(tmp_path / "x.zip", two_classes(), method)
    patch(path, "a/1.png", size=50)
    assert_only_this_one_is_bad(path, "a/1.png", "cannot be read (BadZipFile: Bad CRC-32 for file 'a/1.png')")


def test_a_member_longer_than_stated_with_the_checksum_of_its_start_is_decoded_no_further(tmp_path):
    image = encoded(noise())
    path = write_zip(tmp_path / "x.zip", two_classes() | {"b/9.png": image + b"more" * 100})
    patch(path, "b/9.png", size=len(image), crc=zlib.crc32(image))
    np.testing.assert_array_equal(all_images(image_zip(path))[1][-1], noise().transpose(2, 0, 1))


def test_a_member_shorter_than_stated_is_found(path):
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("a/1.png").file_size
    patch(path, "a/1.png", size=size + 100)
    text = (
        f"has {size} bytes where {size + 100} were stated, or has changed since. Mend it or take it out, or leave out"
    )
    assert_only_this_one_is_bad(path, "a/1.png", text)


def test_a_member_that_stands_elsewhere_than_stated_is_found(path):
    data = bytearray(path.read_bytes())
    data[data.index(b"a/1.png")] ^= 1  # the name before the member, which then is not that of the directory
    path.write_bytes(data)
    assert_only_this_one_is_bad(path, "a/1.png", "cannot be read (BadZipFile: File name in directory 'a/1.png' and")


def test_a_damaged_stream_is_found(tmp_path):
    path = write_zip(tmp_path / "x.zip", two_classes() | {"b/9.bmp": encoded(np.zeros((50, 50), np.uint8), "BMP")})
    data = bytearray(path.read_bytes())
    start = data.index(b"b/9.bmp") + len("b/9.bmp")
    data[start : start + 20] = b"\xff" * 20
    path.write_bytes(data)
    assert_only_this_one_is_bad(path, "b/9.bmp", "cannot be read (error: Error -3 while decompressing data")


def test_a_link_in_an_archive_is_not_followed(path):
    member = zipfile.ZipInfo("b/9.png")
    member.create_system, member.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member, "/etc/passwd")
    assert_only_this_one_is_bad(path, "b/9.png", "is no JPEG, PNG, WEBP, BMP or GIF")


# --- what would fill the memory ---------------------------------------------------------------------------------------


def test_a_member_that_unpacks_to_a_hundred_times_what_it_states_takes_no_more_than_it_states(tmp_path):
    path = write_zip(tmp_path / "x.zip", two_classes() | {"b/bomb.png": bytes(100 * 2**20)})
    assert path.stat().st_size < 2**18
    patch(path, "b/bomb.png", size=2**20)
    source = image_zip(path)
    assert peak_mb(lambda: problem_decoding(source)) < 8


def test_members_that_share_their_bytes_are_limited_in_all(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in two_classes().items():
            archive.writestr(name, data)
        archive.writestr("b/bomb.png", bytes(2**20))
        bomb = archive.getinfo("b/bomb.png")
        for number in range(900):  # all the same bytes (Fifield, 2019, "A better zip bomb")
            copy = zipfile.ZipInfo(f"b/{number:04}.png")
            copy.header_offset, copy.CRC, copy.compress_type = bomb.header_offset, bomb.CRC, bomb.compress_type
            copy.compress_size, copy.file_size = bomb.compress_size, bomb.file_size
            archive.filelist.append(copy)
    source = image_zip(path)
    text = ""

    def look():
        nonlocal text
        text = problem(source)

    assert peak_mb(look) < 8
    assert text.startswith("its images have 944")


def test_a_directory_too_long_for_the_members_allowed_is_not_read(tmp_path):
    path = tmp_path / "x.zip"
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, *[0] * 8, 7, *[0] * 6)
    directory = b"".join(entry + b"%07d" % number for number in range(30_000))
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 30_000, 30_000, len(directory), 0, 0)
    path.write_bytes(directory + end)
    source = image_zip(path, max_images=1000)
    text = "holds more than the 1000 files that dataset.max_images allows"
    assert peak_mb(lambda: problem(source)) < 1
    assert problem(source) == text
    assert problem(image_zip(path, max_images=20_000)) == text.replace("1000", "20000")
