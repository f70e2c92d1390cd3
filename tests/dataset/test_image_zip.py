"""Archives as a whole: which are read, and which are refused."""

import io
import os
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from image_sweeps.dataset import DataError
from tests.support.archives import (
    all_images,
    encoded,
    image_zip,
    noise,
    patch,
    problem,
    problem_decoding,
    two_classes,
    write_zip,
)
from tests.support.configurations import ROOT

REAL = Path(os.environ.get("DATA_DIR", ROOT / "data"))
STRUCTURAL = pytest.mark.parametrize("on_bad_image", ["error", "skip"])


@pytest.fixture
def path(tmp_path):
    return write_zip(tmp_path / "x.zip", two_classes())


# --- what can be read -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_stored_and_deflated_members_are_read(tmp_path, method):
    files = two_classes()
    _, images = all_images(image_zip(write_zip(tmp_path / "x.zip", files, method)))
    expected = [np.asarray(Image.open(io.BytesIO(data))).transpose(2, 0, 1) for data in files.values()]
    np.testing.assert_array_equal(images, expected)


def test_nothing_is_written_anywhere(tmp_path, path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    list(image_zip(path).decode())
    assert os.listdir(tmp_path) == ["x.zip"]  # noqa: PTH208


def test_an_archive_written_as_a_stream_is_read(tmp_path):
    class Stream(io.RawIOBase):
        """What cannot seek: sizes and checksums then stand behind each member."""

        def __init__(self):
            self.data = bytearray()

        def writable(self):
            return True

        def write(self, data):
            self.data += data
            return len(data)

    stream = Stream()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in two_classes().items():
            archive.writestr(name, data)
    (tmp_path / "x.zip").write_bytes(stream.data)
    assert len(all_images(image_zip(tmp_path / "x.zip"))[0]) == 8


def test_something_before_the_archive_does_no_harm(tmp_path, path):
    (tmp_path / "y.zip").write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    assert image_zip(tmp_path / "y.zip").fingerprint == image_zip(path).fingerprint


def test_folders_divided_by_backslashes_are_folders(tmp_path, path):
    files = {name.replace("/", "\\"): data for name, data in two_classes().items()}
    assert image_zip(write_zip(tmp_path / "y.zip", files)).fingerprint == image_zip(path).fingerprint


def test_names_in_utf_8_are_read_whether_the_archive_says_so_or_not(tmp_path):
    path = write_zip(tmp_path / "x.zip", {f"{name}/1.png": encoded(noise()) for name in ("Hände", "Füße", "plain")})
    assert image_zip(path).class_names == ("Füße", "Hände", "plain")
    for name in ("Hände/1.png", "Füße/1.png"):
        patch(path, name, flags=0)
    assert image_zip(path).class_names == ("Füße", "Hände", "plain")


def test_names_in_the_code_page_of_dos_are_read(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"h_nde/1.png": encoded(noise()), "b/1.png": encoded(noise())})
    path.write_bytes(path.read_bytes().replace(b"h_nde", b"h\x84nde"))
    assert image_zip(path).class_names == ("b", "hände")


@pytest.mark.skipif(not (REAL / "sign_digits.zip").exists(), reason=f"there is no {REAL}/sign_digits.zip; set DATA_DIR")
def test_the_real_ten_classes():
    source = image_zip(
        Path("sign_digits.zip"), REAL, max_images=3000, max_total_mb=100, max_image_mb=10, image_size=100
    )
    labels = source.index().labels
    assert source.class_names == tuple("0123456789")
    assert len(labels) == 2062
    assert np.bincount(labels).min() > 200
    with zipfile.ZipFile(REAL / "sign_digits.zip") as archive:
        first = Image.open(archive.open(source.describe([0])[0])).convert("RGB")
    np.testing.assert_array_equal(next(source.decode()).images[0], np.asarray(first).transpose(2, 0, 1))


@pytest.mark.skipif(not (REAL / "two_signs.zip").exists(), reason=f"there is no {REAL}/two_signs.zip; set DATA_DIR")
def test_the_real_two_classes():
    source = image_zip(Path("two_signs.zip"), REAL, image_size=64, max_total_mb=10)
    assert source.class_names == ("fist", "palm")
    assert np.bincount(source.index().labels).tolist() == [50, 50]
    with zipfile.ZipFile(REAL / "two_signs.zip") as archive:
        first = Image.open(archive.open("fist/000.jpg")).convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)
    positions, images = all_images(source)
    assert len(positions) == 100
    np.testing.assert_array_equal(images[0], np.asarray(first).transpose(2, 0, 1))


# --- what is no archive, or a damaged one -----------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"plain text", bytes(1000), b"\x1f\x8b" + bytes(50), encoded(noise())])
def test_what_is_no_archive_is_named_so_with_the_ways_out(tmp_path, content):
    (tmp_path / "x.zip").write_bytes(content)
    assert problem(image_zip(tmp_path / "x.zip")) == (
        "is no ZIP archive. Zip the folder of images, or take dataset=image_folder with the folder itself "
        "(File is not a zip file)"
    )


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.99])
def test_a_truncated_archive_is_named_so(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert problem(image_zip(path)).startswith(
        "is a ZIP archive that is truncated or damaged. Copy or download it again ("
    )


def test_what_is_neither_file_nor_folder_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"dataset\.path: .*/pipe is no file; give a ZIP archive"):
        image_zip(tmp_path / "pipe").index()


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="there is no file here that cannot be read by anyone")
def test_an_unreadable_archive_is_refused():
    assert problem(image_zip(Path("/proc/self/mem"))) == "cannot be read (Input/output error)"


def test_an_archive_that_changes_or_vanishes_after_it_was_looked_at_is_refused(path):
    source = image_zip(path)
    assert source.fingerprint
    path.write_bytes(path.read_bytes()[:-9])
    assert problem_decoding(source).startswith(
        "is a ZIP archive that is truncated or damaged. Copy or download it again"
    )
    path.unlink()
    assert problem_decoding(source) == "cannot be read (No such file or directory)"


# --- what concerns the whole archive, whatever is skipped -------------------------------------------------------------


@STRUCTURAL
@pytest.mark.parametrize(
    "name", ["../1.png", "a/../../1.png", "/etc/1.png", "..\\1.png", "C:/1.png", "c:\\x\\1.png", "a/.."]
)
def test_names_that_lead_out_of_the_archive_are_refused(tmp_path, name, on_bad_image):
    path = write_zip(tmp_path / "x.zip", two_classes() | {name: encoded(noise())})
    assert problem(image_zip(path, on_bad_image=on_bad_image)) == (
        f"{name.replace(chr(92), '/')} leads out of the archive; nothing was unpacked. Make the archive anew"
    )


@STRUCTURAL
@pytest.mark.parametrize("other", ["a/1.png", "a//1.png", "./a/1.png", "a\\1.png"])
def test_a_name_that_stands_twice_is_refused(path, other, on_bad_image):
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(other, encoded(noise(50)))
    assert problem(image_zip(path, on_bad_image=on_bad_image)) == (
        f"{other.replace(chr(92), '/')} stands in it twice. Make the archive anew, with each name once"
    )


@STRUCTURAL
def test_an_encrypted_member_is_refused(path, on_bad_image):
    patch(path, "b/2.png", flags=1)
    text = "b/2.png is encrypted. Make the archive anew, without a password"
    assert problem(image_zip(path, on_bad_image=on_bad_image)) == text


@STRUCTURAL
@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_cannot_be_unpacked_up_to_a_limit_are_refused(tmp_path, method, on_bad_image):
    path = write_zip(tmp_path / "x.zip", two_classes(), method)
    text = f"a/0.png is compressed by method {method}; only deflate is read. Make the archive anew"
    assert problem(image_zip(path, on_bad_image=on_bad_image)) == text


def test_a_method_that_is_not_known_is_refused(path):
    patch(path, "a/3.png", method=97)
    assert problem(image_zip(path)) == "a/3.png is compressed by method 97; only deflate is read. Make the archive anew"


@STRUCTURAL
def test_ten_gigabytes_are_refused_by_what_the_directory_says(tmp_path, on_bad_image):
    path = tmp_path / "x.zip"
    extra = struct.pack("<2HQ", 1, 8, 10 * 2**30)  # the size in 64 bits, by the extension of the format
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in two_classes().items():
            archive.writestr(name, data)
        member = zipfile.ZipInfo("a/bomb.png")
        archive.writestr(member, b"x")
        member.extra = extra
    patch(path, "a/bomb.png", size=0xFFFFFFFF)
    settings = {"max_total_mb": 5000, "max_image_mb": 5000, "on_bad_image": on_bad_image}
    assert problem(image_zip(path, **settings)) == (
        "a/bomb.png has 10737418240 bytes; dataset.max_image_mb = 5000 allows 5242880000"
    )
