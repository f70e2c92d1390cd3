"""Archives and folders of images made for tests, and what reads them."""

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from image_sweeps.dataset import DataError
from image_sweeps.dataset.image_folder import ImageFolder
from image_sweeps.dataset.image_zip import ImageZip
from tests.support import synthetic_images

SETTINGS = {
    **synthetic_images.SETTINGS,
    "image_size": 8,
    "test_fraction": 0.25,
    "on_bad_image": "error",
    "max_images": 1000,
    "max_image_mb": 1,
    "max_total_mb": 2,
    "max_pixels": 1_000_000,
}


def noise(seed=0, shape=(8, 8, 3)):
    """uint8 pixels."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(image, file_format="PNG", **settings):
    """The bytes of an image file, of a Pillow image or of uint8 pixels."""
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, file_format, **settings)
    return file.getvalue()


def two_classes(num_images=4):
    """Names and contents: `num_images` of each class, all different."""
    return {f"{c}/{n}.png": encoded(noise(10 * k + n)) for k, c in enumerate("ab") for n in range(num_images)}


def write_zip(path, files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_folder(path, files):
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def image_zip(path, data_dir=Path("data"), **settings):
    return ImageZip(data_dir, path=path, **{**SETTINGS, **settings})


def image_folder(path, data_dir=Path("data"), **settings):
    return ImageFolder(data_dir, path=path, **{**SETTINGS, **settings})


def of_files(kind, path, files, **settings):
    """The data set of these files, as an archive or a folder below `path`."""
    if kind == "zip":
        return image_zip(write_zip(path / "x.zip", files), **settings)
    return image_folder(write_folder(path / "x", files), **settings)


def all_images(source):
    """The positions and pixels of all images that are decoded."""
    decoded = list(source.decode())
    return np.concatenate([d.positions for d in decoded]), np.concatenate([d.images for d in decoded])


def problem(source, look=lambda source: source.index()):
    """What is said of an archive or folder that `look` finds wrong, without its name."""
    with pytest.raises(DataError) as error:
        look(source)
    name, _, text = str(error.value).partition(f"{source.location}: ")
    assert name == ""
    return text


def problem_decoding(source):
    return problem(source, lambda source: list(source.decode()))


def peak_mb(task):
    """The most memory that `task` holds at a time, as Python and NumPy ask for it."""
    tracemalloc.start()
    try:
        task()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


CENTRAL = {"flags": ("<H", 8), "method": ("<H", 10), "crc": ("<L", 16), "packed": ("<L", 20), "size": ("<L", 24)}
LOCAL = {"flags": ("<H", 6), "method": ("<H", 8), "crc": ("<L", 14), "packed": ("<L", 18), "size": ("<L", 22)}


def patch(path, name, **fields):
    """Change what an archive says of a member, in its directory and before the member."""
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        local = archive.getinfo(name).header_offset
        central = archive.start_dir
    while not data[central + 46 :].startswith(name.encode()):
        central = data.index(b"PK\1\2", central + 1)
    for field, value in fields.items():
        for start, places in ((central, CENTRAL), (local, LOCAL)):
            form, offset = places[field]
            struct.pack_into(form, data, start + offset, value)
    path.write_bytes(data)
