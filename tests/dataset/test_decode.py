"""Every mode and format, against the pixels that went in."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from image_sweeps.dataset.decode import BadImageError, pixels
from tests.support.archives import encoded, image_zip, noise

GREY, COLOUR, ALPHA = noise(0, (8, 8)), noise(1), noise(2, (8, 8))


def decoded(data, channels=3, size=8, max_pixels=10_000):
    return pixels(data, size, channels, max_pixels)


def as_rgb(grey):
    return np.repeat(grey[None], 3, 0)


def on_white(values, alpha):
    share = alpha.astype(float) / 255
    return values * share + 255 * (1 - share)


def png(width, height, depth, colour_type, rows, *chunks):
    """A PNG file by the specification (ISO/IEC 15948), of rows without filter; of a kind that Pillow does not write."""

    def chunk(kind, data):
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">2L5B", width, height, depth, colour_type, 0, 0, 0))
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n" + header + b"".join(chunk(*c) for c in chunks) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def palette_image():
    image = Image.fromarray(GREY % 16, "P")
    image.putpalette(noise(3, (16, 3)).tobytes())
    return image, noise(3, (16, 3))[GREY % 16].transpose(2, 0, 1)


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "GIF", "WEBP"])
def test_grey(file_format):
    data = encoded(GREY, file_format, **({"lossless": True} if file_format == "WEBP" else {}))
    np.testing.assert_array_equal(decoded(data), as_rgb(GREY))
    np.testing.assert_array_equal(decoded(data, channels=1), GREY[None])


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "WEBP"])
def test_rgb(file_format):
    data = encoded(COLOUR, file_format, **({"lossless": True} if file_format == "WEBP" else {}))
    np.testing.assert_array_equal(decoded(data), COLOUR.transpose(2, 0, 1))
    np.testing.assert_allclose(decoded(data, channels=1)[0], COLOUR @ [0.299, 0.587, 0.114], atol=0.51)


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "GIF"])
def test_black_and_white(file_format):
    data = encoded(Image.fromarray(GREY > 127), file_format)
    np.testing.assert_array_equal(decoded(data), as_rgb(np.where(GREY > 127, 255, 0)))


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "GIF"])
def test_palette(file_format):
    image, expected = palette_image()
    np.testing.assert_array_equal(decoded(encoded(image, file_format)), expected)


@pytest.mark.parametrize("file_format", ["PNG", "GIF"])
def test_palette_with_a_transparent_colour_on_white(file_format):
    image, expected = palette_image()
    expected[:, GREY % 16 == 5] = 255
    np.testing.assert_array_equal(decoded(encoded(image, file_format, transparency=5)), expected)


def test_palette_with_a_transparency_for_each_colour_on_white():
    image, opaque = palette_image()
    alphas = noise(4, (16,))
    data = encoded(image, transparency=alphas.tobytes())
    np.testing.assert_allclose(decoded(data), on_white(opaque, alphas[GREY % 16]), atol=1)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_rgba_on_white(file_format):
    settings = {"lossless": True, "exact": True} if file_format == "WEBP" else {}
    data = encoded(np.dstack([COLOUR, ALPHA]), file_format, **settings)
    np.testing.assert_allclose(decoded(data), on_white(COLOUR.transpose(2, 0, 1), ALPHA), atol=1)


def test_grey_with_alpha_on_white():
    data = encoded(Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)]))
    np.testing.assert_allclose(decoded(data), as_rgb(on_white(GREY, ALPHA)), atol=1)
    np.testing.assert_allclose(decoded(data, channels=1)[0], on_white(GREY, ALPHA), atol=1)


def test_a_transparent_grey_or_colour_on_white():
    grey = decoded(encoded(GREY, transparency=int(GREY[0, 0])))
    np.testing.assert_array_equal(grey, as_rgb(np.where(GREY[0, 0] == GREY, 255, GREY)))
    rgb = decoded(encoded(COLOUR, transparency=tuple(map(int, COLOUR[0, 0]))))
    expected = COLOUR.transpose(2, 0, 1).copy()
    expected[:, 0, 0] = 255
    np.testing.assert_array_equal(rgb, expected)


def test_16_bit_grey_is_scaled():
    wide = np.random.default_rng(0).integers(0, 65536, (8, 8), dtype=np.uint16)
    wide[0, :3] = 0, 65535, 300
    data = encoded(wide)
    assert data[24] == 16  # bits a channel, by the header
    np.testing.assert_array_equal(decoded(data, channels=1)[0], np.rint(wide / 257))
    np.testing.assert_array_equal(decoded(data), as_rgb(np.rint(wide / 257)))


def test_16_bit_grey_with_a_transparent_value_on_white():
    wide = np.arange(0, 64000, 1000, dtype=">u2").reshape(8, 8)
    data = png(8, 8, 16, 0, [row.tobytes() for row in wide], (b"tRNS", struct.pack(">H", 7000)))
    np.testing.assert_array_equal(decoded(data, 1)[0], np.where(wide == 7000, 255, np.rint(wide / 257)))


@pytest.mark.parametrize(("colour_type", "num_channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_colour_and_alpha(colour_type, num_channels):
    wide = np.random.default_rng(0).integers(0, 65536, (8, 8, num_channels)).astype(">u2")
    values = (wide / 257).transpose(2, 0, 1)
    expected = values if num_channels == 3 else on_white(values[:-1], values[-1])
    ours = decoded(png(8, 8, 16, colour_type, [row.tobytes() for row in wide]))
    np.testing.assert_allclose(ours, np.broadcast_to(expected, (3, 8, 8)), atol=2)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg(subsampling, progressive):
    smooth = np.kron(noise(5, (2, 2, 3)), np.ones((16, 16, 1), np.uint8))  # survives JPEG's blocks of 16 x 16
    colours = smooth.transpose(2, 0, 1)[:, 8::16, 8::16]  # away from where blocks meet
    data = encoded(smooth, "JPEG", quality=100, subsampling=subsampling, progressive=progressive)
    np.testing.assert_allclose(decoded(data, size=32)[:, 8::16, 8::16], colours, atol=3)
    data = encoded(smooth[..., 0], "JPEG", quality=100)
    np.testing.assert_allclose(decoded(data, size=32), as_rgb(smooth[..., 0]), atol=1)


def test_cmyk():
    inks = np.broadcast_to(np.array([200, 100, 50, 30], dtype=np.uint8), (8, 8, 4)).copy()
    data = encoded(Image.fromarray(inks, "CMYK"), "JPEG", quality=95)
    expected = [(255 - ink) * (255 - 30) / 255 for ink in (200, 100, 50)]
    np.testing.assert_allclose(decoded(data), np.broadcast_to(np.reshape(expected, (3, 1, 1)), (3, 8, 8)), atol=3)


def stored(upright, orientation):
    """An image as a camera stores it, by the meaning of the tag: which side its first row and first column show."""
    last = len(upright) - 1
    at = {
        1: lambda r, c: (r, c),  # top, left
        2: lambda r, c: (r, last - c),  # top, right
        3: lambda r, c: (last - r, last - c),  # bottom, right
        4: lambda r, c: (last - r, c),  # bottom, left
        5: lambda r, c: (c, r),  # left, top
        6: lambda r, c: (c, last - r),  # right, top
        7: lambda r, c: (last - c, last - r),  # right, bottom
        8: lambda r, c: (last - c, r),  # left, bottom
    }[orientation]
    rows, columns = np.indices(upright.shape[:2])
    return upright[at(rows, columns)]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "JPEG"])
def test_exif_orientation_is_undone(file_format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    smooth = np.kron(noise(6, (2, 2, 3)), np.ones((16, 16, 1), np.uint8))
    settings = {"PNG": {}, "WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": "4:4:4"}}[file_format]
    data = encoded(stored(smooth, orientation), file_format, exif=exif, **settings)
    np.testing.assert_allclose(
        decoded(data, size=32), smooth.transpose(2, 0, 1), atol=2 if file_format == "JPEG" else 0
    )


def test_an_orientation_turns_a_wide_image_into_a_high_one():
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 20:] = 255  # the right third; upright, the bottom third
    upright = decoded(encoded(wide, exif=exif), channels=1, size=30)[0]
    assert upright[:16].max() == 0
    assert upright[24:].min() == 255


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("block", [b"nonsense", b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\x09\0\0\0\0\0\0", b"MM\0*"])
def test_an_unreadable_or_meaningless_orientation_leaves_an_image_as_it_is(block):
    data = encoded(COLOUR, "WEBP", lossless=True, exif=b"Exif\0\0" + block)
    np.testing.assert_array_equal(decoded(data), COLOUR.transpose(2, 0, 1))


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "MPO"])
def test_of_several_frames_the_first_is_taken(file_format):
    first, second = Image.new("RGB", (8, 8), (200, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 200))
    settings = {"lossless": True} if file_format == "WEBP" else {}
    data = encoded(first, file_format, save_all=True, append_images=[second], **settings)
    np.testing.assert_allclose(decoded(data)[:, 4, 4], [200, 0, 0], atol=2)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(40, 60, 3), (5, 3, 3), (40, 60), (7, 100)])
def test_sizes_change_as_those_of_tensors_do(tmp_path, shape, channels):
    image = noise(7, shape)
    data_set = image_zip(tmp_path / "x.zip", image_size=16, channels=channels)
    tensor = torch.from_numpy(image.reshape(*shape[:2], -1)).permute(2, 0, 1)
    theirs = data_set.resized(tensor[None])[0].astype(int)
    rounding = 2 if channels == 1 else 1  # torchvision rounds down where it makes grey of colours, and Pillow does not
    assert abs(decoded(encoded(image), channels, size=16) - theirs).max() <= rounding


def test_too_many_pixels_are_refused_by_the_header_alone():
    data = png(2000, 1000, 8, 2, [])
    with pytest.raises(BadImageError, match=r"has 2000 x 1000 pixels; dataset\.max_pixels = 10000 allows fewer"):
        decoded(data)
    assert decoded(encoded(noise(0, (100, 100))), max_pixels=10_000).shape == (3, 8, 8)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("width", [9_500, 30_000, 2**31 - 1])
def test_more_pixels_than_pillow_warns_of_or_opens_are_refused_in_the_same_way(width):
    with pytest.raises(BadImageError, match=r"pixels; dataset\.max_pixels = 50000000 allows fewer"):
        decoded(png(width, 10_000, 8, 2, []), max_pixels=50_000_000)


@pytest.mark.parametrize(
    "data", [b"", b"plain text, not an image", b"\xff\xd8\xff", b"II*\0" + bytes(100), b"%!PS-Adobe-3.0 EPSF-3.0\n"]
)
def test_what_is_no_image_is_named_so(data):
    with pytest.raises(BadImageError, match="is no JPEG, PNG, WEBP, BMP or GIF, or is damaged at its start"):
        decoded(data)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_a_truncated_image_is_refused(file_format):
    data = encoded(noise(8, (32, 32, 3)), file_format)
    with pytest.raises(BadImageError, match=r"cannot be decoded \(\w+: .+\)"):
        decoded(data[: len(data) * 2 // 3])
