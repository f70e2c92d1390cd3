"""Images of every mode, format, size and orientation come out as pixels of the shape asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from image_sweeps.dataset import DataError
from image_sweeps.dataset.decode import pixels
from tests.support.archives import all_images, encoded, image_folder, noise, two_classes, write_folder
from tests.support.fuzzing import fuzz

MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("1", "L", "RGB", "CMYK", "YCbCr"),
    "WEBP": ("L", "LA", "P", "RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "GIF": ("1", "L", "LA", "P", "RGB", "RGBA"),
}
KINDS = [(file_format, mode) for file_format, modes in MODES.items() for mode in modes]
SIDES = st.sampled_from((1, 2, 3, 7, 8, 64, 255, 256, 257, 1000)) | st.integers(1, 300)


def image_of(mode, width, height, seed):
    rng = np.random.default_rng(seed)
    if mode.startswith("I"):
        return Image.fromarray(rng.integers(0, 2**16, (height, width), dtype=np.uint16)).convert(mode)
    colours = Image.fromarray(rng.integers(0, 256, (height, width, 4), dtype=np.uint8), "RGBA")
    if mode in ("CMYK", "YCbCr", "1", "P"):
        colours = colours.convert("RGB")
    return colours.convert(mode)


@fuzz(200)
@given(
    st.sampled_from(KINDS),
    SIDES,
    SIDES,
    st.integers(0, 9),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1, 2, 8, 33]),
    st.sampled_from([1, 3]),
)
def test_images_of_every_kind_are_decoded(kind, width, height, orientation, animated, transparent, size, channels):
    file_format, mode = kind
    image = image_of(mode, width, height, width * height)
    settings = {}
    if orientation and file_format in ("PNG", "JPEG", "WEBP"):
        settings["exif"] = exif(orientation)
    if animated and file_format in ("PNG", "WEBP", "GIF") and not mode.startswith("I"):
        settings |= {"save_all": True, "append_images": [image_of(mode, width, height, 5)]}
    if transparent and file_format in ("PNG", "GIF") and mode == "P":
        settings["transparency"] = 3
    found = pixels(encoded(image, file_format, **settings), size, channels, 10**6)
    assert found is not None
    assert (found.shape, found.dtype) == ((channels, size, size), np.uint8)


def exif(orientation):
    block = Image.Exif()
    block[0x0112] = orientation
    return block


@pytest.mark.parametrize("sides", [(50_000, 1), (1, 50_000), (30_000, 30), (1, 1)])
@pytest.mark.parametrize("file_format", MODES)
def test_the_most_absurd_proportions_are_decoded(sides, file_format):
    if file_format == "WEBP" and max(sides) > 16_383:
        pytest.skip("WebP has no larger sides")
    found = pixels(encoded(Image.new("RGB", sides, "red"), file_format), 8, 3, 10**6)
    assert found is not None
    np.testing.assert_allclose(found.mean((1, 2)), [255, 0, 0], atol=3)  # JPEG loses a little


@pytest.mark.parametrize("mode", ["LAB", "F", "I;16B"])
def test_modes_that_only_other_formats_have_come_in_files_that_are_refused_with_the_formats_read(tmp_path, mode):
    data = encoded(Image.new(mode, (4, 4)), "TIFF")
    source = image_folder(write_folder(tmp_path / "x", two_classes() | {"b/x.tif": data}))
    with pytest.raises(DataError, match=r"b/x\.tif is no JPEG, PNG, WEBP, BMP or GIF, or is damaged at its start"):
        list(source.decode())


def test_a_set_of_single_pixels_in_all_formats_is_read(tmp_path):
    files = {f"{c}/{name}.png": encoded(noise(k, (1, 1, 3)), name) for k, c in enumerate("ab") for name in MODES}
    _, images = all_images(image_folder(write_folder(tmp_path / "x", files)))
    assert images.shape == (10, 3, 8, 8)
    assert (images == images[:, :, :1, :1]).all()
