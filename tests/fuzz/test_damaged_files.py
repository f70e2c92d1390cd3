"""Damage of every kind, in archives and in images: what it comes to is images or a DataError, and nothing else."""

import zipfile
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from image_sweeps.dataset import DataError
from tests.support.archives import encoded, image_folder, image_zip, noise, two_classes, write_folder, write_zip
from tests.support.fuzzing import fuzz

FUZZ = fuzz(200)

EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), st.floats(0, 1), st.integers(0, 7)),
        st.tuples(st.just("set"), st.floats(0, 1), st.sampled_from([0, 1, 0x7F, 0x80, 0xFF])),
        st.tuples(st.just("insert"), st.floats(0, 1), st.binary(min_size=1, max_size=20)),
        st.tuples(st.just("delete"), st.floats(0, 1), st.integers(1, 50)),
        st.tuples(st.just("copy"), st.floats(0, 1), st.floats(0, 1)),
        st.tuples(st.just("cut"), st.floats(0, 1), st.just(0)),
    ),
    min_size=1,
    max_size=6,
)


def damaged(data, edits):
    """`data` after `edits`, whose places are shares of its length."""
    data = bytearray(data)
    for kind, share, value in edits:
        at = int(share * max(len(data) - 1, 0))
        if kind == "flip" and data:
            data[at] ^= 1 << value
        elif kind == "set" and data:
            data[at] = value
        elif kind == "insert":
            data[at:at] = value
        elif kind == "delete":
            del data[at : at + value]
        elif kind == "copy":
            start = int(value * len(data))
            data[at : at + 30] = data[start : start + 30]
        else:
            del data[at:]
    return bytes(data)


@lru_cache
def archive():
    """Small ones, so that most damage meets something that matters."""
    with TemporaryDirectory() as folder:
        files = two_classes(2) | {"b/3.jpg": encoded(noise(5), "JPEG"), "b/4.gif": encoded(noise(6)[..., 0], "GIF")}
        stored = write_zip(Path(folder) / "1.zip", files, zipfile.ZIP_STORED).read_bytes()
        wrapped = {f"train/{name}": data for name, data in files.items()}
        return stored, write_zip(Path(folder) / "2.zip", wrapped | {"test/a/1.png": files["a/1.png"]}).read_bytes()


@lru_cache
def image_files():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "Maker", 72.0
    palette = Image.fromarray(noise(1, (8, 8)) % 16, "P")
    palette.putpalette(noise(2, (16, 3)).tobytes())
    frames = {"save_all": True, "append_images": [Image.fromarray(noise(9))]}
    return {
        "png": encoded(noise(), exif=exif),
        "png of a palette": encoded(palette, transparency=bytes(range(16))),
        "png of 16 bits": encoded(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000),
        "png of frames": encoded(noise(), save_all=True, append_images=[Image.fromarray(noise(9))]),
        "jpeg": encoded(noise(), "JPEG", exif=exif),
        "progressive jpeg": encoded(noise(), "JPEG", progressive=True, exif=exif),
        "jpeg of cmyk": encoded(Image.fromarray(noise(3, (8, 8, 4)), "CMYK"), "JPEG"),
        "jpeg of frames": encoded(noise(), "MPO", **frames),
        "webp": encoded(noise(4, (8, 8, 4)), "WEBP", exif=exif),
        "lossless webp of frames": encoded(noise(), "WEBP", lossless=True, **frames),
        "bmp": encoded(noise(), "BMP"),
        "bmp of a palette": encoded(palette, "BMP"),
        "gif of frames": encoded(palette, "GIF", transparency=3, save_all=True, append_images=[palette.rotate(90)]),
    }


def outcome(source):
    """What all that a source can be asked comes to: the number of images that are decoded, or the error's text."""
    try:
        index = source.index()
        assert len(source.class_names) >= 2
        assert len(source.fingerprint) == 16
        num_decoded = 0
        for positions, images in source.decode():
            assert images.shape == (len(positions), *source.shape)
            assert images.dtype == np.uint8
            num_decoded += len(positions)
        assert len(source.describe(range(len(index.labels)))) == len(index.labels) >= num_decoded > 0
    except DataError as error:
        return str(error)
    return num_decoded


def test_without_damage_all_is_decoded(tmp_path):
    for number, data in enumerate(archive()):
        (tmp_path / f"{number}.zip").write_bytes(data)
        assert outcome(image_zip(tmp_path / f"{number}.zip")) == 6 + number
    files = {f"{c}/{name}.png": data for c in "ab" for name, data in image_files().items()}
    assert outcome(image_folder(write_folder(tmp_path / "x", files))) == len(files)


@FUZZ
@given(st.integers(0, 1), EDITS, st.sampled_from(["error", "skip"]))
def test_a_damaged_archive_loads_or_is_refused(tmp_path_factory, which, edits, on_bad_image):
    path = tmp_path_factory.getbasetemp() / "damaged.zip"
    path.write_bytes(damaged(archive()[which], edits))
    found = outcome(image_zip(path, on_bad_image=on_bad_image))
    assert isinstance(found, int) or found.isprintable()


@FUZZ
@given(st.binary(max_size=300), st.sampled_from([b"", b"PK\3\4", b"PK\5\6", b"PK\5\6" + bytes(18)]))
def test_random_bytes_are_refused(tmp_path_factory, data, start):
    path = tmp_path_factory.getbasetemp() / "random.zip"
    path.write_bytes(start + data)
    assert isinstance(outcome(image_zip(path)), str)


@FUZZ
@given(st.sampled_from(sorted(image_files())), EDITS, st.sampled_from([1, 3]))
def test_a_damaged_image_loads_or_is_skipped(tmp_path_factory, name, edits, channels):
    folder = tmp_path_factory.getbasetemp() / "damaged"
    files = {"a/good.png": image_files()["png"], "b/damaged": damaged(image_files()[name], edits)}
    write_folder(folder, {**files, "b/good.png": files["a/good.png"]})
    decoded = outcome(image_folder(folder, on_bad_image="skip", channels=channels))
    assert decoded in (2, 3)
    refused = outcome(image_folder(folder, channels=channels))
    assert refused == 3 if decoded == 3 else f"{folder}: b/damaged " in refused


@FUZZ
@given(st.sampled_from(["png", "jpeg", "webp", "bmp", "gif"]), st.binary(max_size=200))
def test_random_bytes_after_the_start_of_an_image_are_skipped_or_decoded(tmp_path_factory, kind, data):
    start = next(content for name, content in image_files().items() if name.startswith(kind))[:32]
    folder = tmp_path_factory.getbasetemp() / "random"
    good = image_files()["bmp"]
    write_folder(folder, {"a/good": good, "a/good.bmp": good, "b/good.bmp": good, "b/random": start + data})
    assert outcome(image_folder(folder, on_bad_image="skip")) in (3, 4)


@pytest.mark.parametrize("seed", range(3))
def test_members_under_any_name_load_or_are_refused(tmp_path, seed):
    rng = np.random.default_rng(seed)
    pieces = ["a", "b", "train", "test", "..", ".", "/", "\\", "1.jpg", "\0", "\n", "é", "C:", "\x1b[2J", " ", "\u0663"]
    for number in range(30):
        names = {"/".join(rng.choice(pieces, rng.integers(1, 4))) + ".png" for _ in range(4)}
        path = write_zip(
            tmp_path / f"{number}.zip", {"a/1.png": encoded(noise()), **dict.fromkeys(names, encoded(noise()))}
        )
        outcome(image_zip(path))
