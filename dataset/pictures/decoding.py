"""Bytes to pixels: one path for training and serving.

The formats are JPEG, PNG and WebP, told by their first bytes. The size is read from the header and refused
before anything is decoded. Pixels are always uint8 RGB of shape (H, W, 3):

- grey and two-tone pictures repeat their one channel, palettes and CMYK are converted by Pillow;
- 16 bits a channel keep their upper byte, so that 65535 becomes 255 (never clipped);
- transparency is composited over black;
- the EXIF orientation is applied once, here;
- of an animation only the first frame counts.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from maskloop.errors import PictureError

MAGIC_BYTES: Final = ((b"\xff\xd8\xff", "JPEG", ".jpg"), (b"\x89PNG\r\n\x1a\n", "PNG", ".png"))
_PNG_BIT_DEPTH_AT: Final = 24
_MAX_VALUE: Final = 2**24 - 1
_TURNED_SIDEWAYS: Final = frozenset({5, 6, 7, 8})


@dataclass(frozen=True)
class DecodedPicture:
    """Pixels, and what the file said about itself.

    Attributes:
        pixels: uint8 (H, W, 3), RGB, upright if the orientation was applied.
        extension: ``.jpg``, ``.png`` or ``.webp``.
        orientation: The EXIF orientation, 1 (upright) to 8.
        bits_used: Of a file with 16 bits a value, the bits that its largest value needs, 0 to 16; of 16-bit
            colour at least 8. 0 of any other file.
        num_frames: Of an animation, of which the first is read; 1 of any other file. A sandbox says 2 of any
            animation.
    """

    pixels: NDArray[np.uint8]
    extension: str
    orientation: int
    bits_used: int = 0
    num_frames: int = 1


def decode_picture(data: bytes, *, max_mpx: float, apply_orientation: bool = True) -> NDArray[np.uint8]:
    """Decode a JPEG, PNG or WebP into uint8 RGB pixels of shape (H, W, 3).

    Args:
        data: The file's bytes.
        max_mpx: Largest accepted size in million pixels.
        apply_orientation: Turn the picture the way its EXIF orientation says.

    Raises:
        PictureError: if it is another format, too large, truncated or otherwise broken.
    """
    return open_picture(data, max_mpx=max_mpx, apply_orientation=apply_orientation).pixels


def open_picture(
    data: bytes,
    *,
    max_mpx: float,
    apply_orientation: bool = True,
    max_frames: int = 0,
    as_values: bool = False,
) -> DecodedPicture:
    """Decode a picture and say what else its file told. See `decode_picture`.

    With ``max_frames`` above 0 a file with more frames is refused before anything is decoded. With
    ``as_values`` its pixels are what the file stores, for masks: see `values_of`.
    """
    format_name, extension = sniff_format(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures too: `_open` asks the limit in force
            to_pixels = _to_values if as_values else _to_rgb
            return _open(data, format_name, extension, max_mpx, apply_orientation, max_frames, to_pixels)
    except PictureError:
        raise
    except Image.DecompressionBombError as error:  # Pillow's own limit, beyond any of ours
        raise _too_large("over 178 million px", max_mpx) from error
    except Exception as error:  # a decoder fed with hostile bytes may raise anything
        raise PictureError(f"the picture cannot be decoded: {error or type(error).__name__}") from error


def values_of(pixels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return what a picture opened ``as_values`` stores, uint32 (H, W).

    That is the number of a palette's colour, a grey value of up to 16 bits, or a colour as 0xRRGGBB without
    its transparency.

    >>> values_of(np.array([[[0, 1, 2]]], np.uint8)).tolist()
    [[258]]
    """
    red, green, blue = np.moveaxis(pixels.astype(np.uint32), -1, 0)
    values: NDArray[np.uint32] = red << 16 | green << 8 | blue
    return values


def sniff_format(data: bytes) -> tuple[str, str]:
    r"""Return Pillow's format name and the file extension, judged by the first bytes.

    >>> sniff_format(b"\x89PNG\r\n\x1a\n...")
    ('PNG', '.png')

    Raises:
        PictureError: for anything but JPEG, PNG and WebP.
    """
    for magic, format_name, extension in MAGIC_BYTES:
        if data.startswith(magic):
            return format_name, extension
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP", ".webp"
    if not data:
        raise PictureError("the file is empty")
    raise PictureError(
        "this is neither a JPEG nor a PNG nor a WebP picture", hint="save it as PNG, which loses nothing"
    )


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """Encode uint8 RGB pixels (H, W, 3) as PNG, without loss."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def orient(array: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Turn an array (…, H, W), any dtype, stored under an EXIF orientation upright.

    EXIF 2.3, tag 0x0112: 2 mirrored, 3 upside down, 4 both, 5-8 the same with rows and columns exchanged.
    """
    if orientation in _TURNED_SIDEWAYS:
        array = array.swapaxes(-1, -2)
    if orientation in (2, 3, 6, 7):
        array = array[..., ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[..., ::-1, :]
    return array


def _open(
    data: bytes,
    format_name: str,
    extension: str,
    max_mpx: float,
    apply_orientation: bool,
    max_frames: int,
    to_pixels: Callable[[Image.Image], NDArray[np.uint8]],
) -> DecodedPicture:
    with Image.open(io.BytesIO(data), formats=[format_name]) as image:
        width, height = image.size
        if width * height > max_mpx * 1e6:
            raise _too_large(f"{width} x {height} px", max_mpx)
        # further pictures in a JPEG are a camera's stills (MPO), not frames of an animation
        num_frames = 1 if format_name == "JPEG" else getattr(image, "n_frames", 1)
        if 0 < max_frames < num_frames:
            raise PictureError(f"the picture has {num_frames} frames, more than the {max_frames} accepted")
        image.load()
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        orientation = orientation if orientation in range(1, 9) else 1
        upright = ImageOps.exif_transpose(image) if apply_orientation and orientation != 1 else image
        pixels = to_pixels(upright)
        num_bits = _count_bits_used(data, image, pixels)
        return DecodedPicture(pixels, extension, orientation, num_bits, num_frames)


def _too_large(size: str, max_mpx: float) -> PictureError:
    return PictureError(
        f"the picture has {size}, more than the {max_mpx:g} million accepted",
        hint="downscale it, or raise data.max_picture_mpx (100 at most)",
    )


def _sixteen_bits(image: Image.Image) -> NDArray[np.uint16]:
    """Return a grey picture of more than 8 bits as uint16 (H, W)."""
    return np.asarray(image).clip(0, 65535).astype(np.uint16)


def _count_bits_used(data: bytes, image: Image.Image, pixels: NDArray[np.uint8]) -> int:
    """Return `DecodedPicture.bits_used`. Of 16-bit colour Pillow reads the upper bytes only."""
    if image.mode.startswith("I"):
        return int(_sixteen_bits(image).max()).bit_length()
    is_deep_png = data.startswith(b"\x89PNG") and data[_PNG_BIT_DEPTH_AT] == 16
    return int(pixels.max()).bit_length() + 8 if is_deep_png else 0


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):
        upper_byte = (_sixteen_bits(image) >> 8).astype(np.uint8)
        return np.repeat(upper_byte[:, :, np.newaxis], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"), dtype=np.uint8)


def _to_values(image: Image.Image) -> NDArray[np.uint8]:
    """Return the numbers that a picture stores, each in three bytes, the highest first; see `values_of`."""
    if image.mode not in ("1", "L", "LA", "P", "PA") and not image.mode.startswith("I"):
        return np.array(image.convert("RGB"), dtype=np.uint8)
    stored = np.asarray(image)
    values = stored[..., 0] if stored.ndim == 3 else stored
    if values.min() < 0 or values.max() > _MAX_VALUE:
        raise PictureError(f"the picture stores numbers outside 0 to {_MAX_VALUE}")
    wide = values.astype(np.uint32)
    return np.stack([wide >> shift & 0xFF for shift in (16, 8, 0)], axis=-1).astype(np.uint8)
