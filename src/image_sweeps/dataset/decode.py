"""Decoding of an image file of any mode and orientation into pixels of one size, with Pillow.

Transparent images are laid over white, because drawings on a transparent ground are mostly dark. 16-bit grey is scaled
to 8 bits, not clipped. Colour profiles are ignored, and only the first frame of an animation is used.
"""

import math
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
"""The formats that are decoded; some of Pillow's other formats start programs or follow references."""

MOST_PIXELS = 178_956_970
"""The number of pixels of the largest image that Pillow opens."""

TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that undoes each EXIF orientation. `ImageOps.exif_transpose` also rewrites EXIF, which may fail."""


BYTES_PER_PIXEL, OF_WEBP = 16, 24
"""Upper bounds of the memory for decoding, in bytes per pixel: in general (measured: 2 for grey to 14 for 16-bit grey),
and for WebP (measured: 20)."""


class BadImageError(Exception):
    """An image that cannot be used; the message completes a sentence that starts with the image's name."""


def pixels(
    data: bytes, image_size: int, channels: int, max_pixels: int, max_bytes: float = math.inf
) -> NDArray[np.uint8] | None:
    """Return the upright image, uint8, channels x image_size x image_size, resized bilinearly with antialiasing.

    Args:
        data: the bytes of a whole JPEG, PNG, WebP, BMP or GIF file.
        image_size: height and width in pixels.
        channels: 1 for grey, weighted by ITU-R BT.601, or 3 for RGB.
        max_pixels: the largest number of pixels; a larger image is refused by its header, before it is decoded.
        max_bytes: the memory limit in bytes; if decoding may take more, None is returned and nothing is decoded.

    Raises:
        BadImageError: if the data has another format, is damaged, or has too many pixels.
    """
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            _refuse_beyond(max_pixels, image)
            if _num_bytes(image) > max_bytes:
                return None
            image.load()
            upright = _upright(_plain(image), _orientation(image))
        resized = upright.resize((image_size, image_size), Image.Resampling.BILINEAR)
        values = np.asarray(resized.convert("L" if channels == 1 else "RGB"))
    except BadImageError:
        raise
    except UnidentifiedImageError:
        raise BadImageError(f"is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, or is damaged at its start") from None
    except Image.DecompressionBombError:
        raise BadImageError(f"has over {MOST_PIXELS} pixels; dataset.max_pixels = {max_pixels} allows fewer") from None
    except Exception as error:  # whatever Pillow raises on damaged bytes, the answer is the same
        raise BadImageError(f"cannot be decoded ({type(error).__name__}: {error})") from None
    return values[None] if channels == 1 else values.transpose(2, 0, 1)


def _num_bytes(image: Image.Image) -> int:
    """Return an upper bound of the memory for decoding the image, in bytes."""
    return image.width * image.height * (OF_WEBP if image.format == "WEBP" else BYTES_PER_PIXEL)


def _refuse_beyond(max_pixels: int, image: Image.Image) -> None:
    if image.width * image.height > max_pixels:
        raise BadImageError(
            f"has {image.width} x {image.height} pixels; dataset.max_pixels = {max_pixels} allows fewer"
        )


def _plain(image: Image.Image) -> Image.Image:
    """Return the opaque image with 8 bits per channel, in mode L if it is grey, else in mode RGB."""
    if image.mode.startswith("I"):
        return _scaled(image)
    mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
    if not image.has_transparency_data:
        return image.convert(mode)
    layer = image.convert("LA" if mode == "L" else "RGBA")
    opaque = Image.new(mode, image.size, "white")
    opaque.paste(layer, mask=layer)
    return opaque


def _scaled(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8-bit grey: 65535 becomes 255. Pillow's own conversion has clipped instead."""
    values = np.asarray(image).astype(np.uint32)
    if (transparent := image.info.get("transparency")) is not None:
        values[values == transparent] = 65535
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _orientation(image: Image.Image) -> int | None:
    """Return the EXIF orientation, 1 to 8, where 1 is upright; None if it is missing or cannot be read."""
    try:
        orientation: int | None = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # a damaged EXIF block says nothing; viewers show such an image as it is
        return None
    return orientation


def _upright(image: Image.Image, orientation: int | None) -> Image.Image:
    transposition = TRANSPOSITIONS.get(orientation) if isinstance(orientation, int) else None
    return image if transposition is None else image.transpose(transposition)
