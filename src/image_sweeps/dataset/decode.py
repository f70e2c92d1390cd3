"""From the bytes of an image file to pixels of one size, with Pillow, in whatever mode and orientation they come.

What is transparent is laid over white: drawings on a transparent ground are mostly dark. 16-bit grey is scaled to 8
bits, not clipped. Colour profiles are ignored, and of an animation the first frame is taken.
"""

import math
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
"""What is decoded; of Pillow's other formats some start programs or follow references."""

MOST_PIXELS = 178_956_970
"""Pillow opens no larger image."""

TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes an EXIF orientation. `ImageOps.exif_transpose` also writes the EXIF block anew, which fails on some."""


BYTES_PER_PIXEL, OF_WEBP = 16, 24
"""What decoding takes at most; measured are 2 (grey) to 14 (grey of 16 bits), and 20."""


class BadImageError(Exception):
    """One image cannot be used; the message completes a sentence that starts with its name."""


def pixels(
    data: bytes, image_size: int, channels: int, max_pixels: int, max_bytes: float = math.inf
) -> NDArray[np.uint8] | None:
    """The upright image, uint8, channels x image_size x image_size; bilinear, antialiased.

    Args:
        data: a whole JPEG, PNG, WebP, BMP or GIF file.
        image_size: height and width in pixels.
        channels: 1 for grey, weighted by ITU-R BT.601, or 3 for RGB.
        max_pixels: a larger image is refused by its header, before it is decoded.
        max_bytes: where decoding may take more memory, it is not decoded, and None comes back.

    Raises:
        BadImageError: where it is none of these, is damaged, or is too large.
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
    """What decoding the image takes at most."""
    return image.width * image.height * (OF_WEBP if image.format == "WEBP" else BYTES_PER_PIXEL)


def _refuse_beyond(max_pixels: int, image: Image.Image) -> None:
    if image.width * image.height > max_pixels:
        raise BadImageError(
            f"has {image.width} x {image.height} pixels; dataset.max_pixels = {max_pixels} allows fewer"
        )


def _plain(image: Image.Image) -> Image.Image:
    """The image with 8 bits a channel, opaque: in mode L where it is grey, else RGB."""
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
    """16-bit grey as 8-bit grey: 65535 becomes 255. Pillow's own conversion has clipped instead."""
    values = np.asarray(image).astype(np.uint32)
    if (transparent := image.info.get("transparency")) is not None:
        values[values == transparent] = 65535
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _orientation(image: Image.Image) -> int | None:
    """How the camera was held, by EXIF: 1 to 8, 1 is upright."""
    try:
        orientation: int | None = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # a damaged EXIF block says nothing; viewers show such an image as it is
        return None
    return orientation


def _upright(image: Image.Image, orientation: int | None) -> Image.Image:
    transposition = TRANSPOSITIONS.get(orientation) if isinstance(orientation, int) else None
    return image if transposition is None else image.transpose(transposition)
