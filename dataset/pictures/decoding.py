"""Bytes to pixels: one path for training and serving.

The formats are JPEG, PNG, WebP and BMP, and those of `dataset.raw.formats`, told by their first bytes. The
size is read from the header and refused before anything is decoded. Pixels are always uint8 RGB of shape
(H, W, 3):

- grey and two-tone pictures repeat their one channel, palettes and CMYK are converted by Pillow;
- more than 8 bits a value, and other bands than red, green and blue, become RGB by the conversion of
  `dataset.raw.conversion`. By default 16 bits keep their upper byte: 65535 becomes 255 (never clipped);
- transparency is composited over black;
- the EXIF orientation is applied once, here;
- of an animation only the first frame counts.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from dataset.raw.conversion import DEFAULT_CONVERSION, PictureConversion, convert, count_bits_used
from dataset.raw.formats import RAW_FORMATS, find_raw_format
from dataset.raw.png import is_deep_png, read_deep_png
from dataset.raw.raw_file import EXTENSION, read_raw_file, refuse_other_page, write_raw_file
from dataset.raw.raw_picture import RawPicture, refuse_large, too_large
from maskloop.errors import PictureError

MAGIC_BYTES: Final = (
    (b"\xff\xd8\xff", "JPEG", ".jpg"),
    (b"\x89PNG\r\n\x1a\n", "PNG", ".png"),
    (b"BM", "BMP", ".bmp"),
)
LONGEST_MAGIC_BYTES: Final = 256
"""A file's format is told by no more of its first bytes."""
FORMATS_READ: Final = (
    f"JPEG, PNG, WebP, BMP, {', '.join(one.name for one in RAW_FORMATS[:-1])} or {RAW_FORMATS[-1].name}"
)
_MAX_VALUE: Final = 2**24 - 1
_TURNED_SIDEWAYS: Final = frozenset({5, 6, 7, 8})


@dataclass(frozen=True)
class DecodedPicture:
    """Pixels, and what the file said about itself.

    Attributes:
        pixels: uint8 (H, W, 3), RGB, upright if the orientation was applied.
        extension: Of the file that is kept: ``.jpg``, ``.png``, ``.webp``, ``.bmp`` or ``.tif``.
        orientation: The EXIF orientation, 1 (upright) to 8.
        bits_used: Of a file with 16 bits a value, the bits that its largest value needs, 0 to 16; of 16-bit
            colour at least 8. 0 of any other file.
        num_frames: Of an animation, of which the first is read; 1 of any other file. A sandbox says 2 of any
            animation.
        stored: What is kept instead of the file: its values and its conversion, see `dataset.raw.raw_file`.
            None if the file itself is kept.
    """

    pixels: NDArray[np.uint8]
    extension: str
    orientation: int
    bits_used: int = 0
    num_frames: int = 1
    stored: bytes | None = None


def decode_picture(data: bytes, *, max_mpx: float, apply_orientation: bool = True) -> NDArray[np.uint8]:
    """Decode a picture of the data, or a kept one, into uint8 RGB pixels of shape (H, W, 3).

    A file in the form of `dataset.raw.raw_file` is converted as it was when it was taken in.

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
    conversion: PictureConversion | None = None,
) -> DecodedPicture:
    """Decode a picture and say what else its file told. See `decode_picture`.

    With ``max_frames`` above 0 a file with more frames is refused before anything is decoded. With
    ``as_values`` its pixels are what the file stores, for masks: see `values_of`. A file from outside is
    converted by ``conversion``, whatever it says itself; None is for files that were taken in.
    """
    format_name, extension = sniff_format(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures too: the limit in force is asked here
            if found := _read_raw(data, format_name, max_mpx, conversion):
                raw, stated = found
                height, width, _ = raw.values.shape
                refuse_large(width, height, raw.values[0, 0].nbytes, max_mpx=max_mpx)
                if as_values:
                    return DecodedPicture(_raw_values(raw), extension, raw.orientation)
                return _develop(raw, stated, apply_orientation, is_from_outside=conversion is not None)
            to_pixels = _to_values if as_values else _to_rgb
            return _open(data, format_name, extension, max_mpx, apply_orientation, max_frames, to_pixels)
    except PictureError:
        raise
    except Image.DecompressionBombError as error:  # Pillow's own limit, beyond any of ours
        raise too_large("over 178 million px", max_mpx) from error
    except Exception as error:  # a decoder fed with hostile bytes may raise anything
        raise PictureError(f"the picture cannot be decoded: {error or type(error).__name__}") from error


def values_of(pixels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return what a picture opened ``as_values`` stores, uint32 (H, W).

    That is the number of a palette's colour, a grey value of up to 16 bits, or a colour as 0xRRGGBB without
    its transparency; of a picture that is black all over, its opacity, 0 to 255.

    >>> values_of(np.array([[[0, 1, 2]]], np.uint8)).tolist()
    [[258]]
    """
    red, green, blue = np.moveaxis(pixels.astype(np.uint32), -1, 0)
    values: NDArray[np.uint32] = red << 16 | green << 8 | blue
    return values


def sniff_format(data: bytes) -> tuple[str, str]:
    r"""Return the format's name and the file extension, judged by the first `LONGEST_MAGIC_BYTES` bytes.

    >>> sniff_format(b"\x89PNG\r\n\x1a\n...")
    ('PNG', '.png')

    Raises:
        PictureError: if it is no picture in a format that is read.
    """
    for magic, format_name, extension in MAGIC_BYTES:
        if data.startswith(magic):
            return format_name, extension
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP", ".webp"
    if raw_format := find_raw_format(data):
        return raw_format.name, raw_format.extension
    if not data:
        raise PictureError("the file is empty")
    raise PictureError(f"this is no {FORMATS_READ} picture", hint="save it as PNG, which loses nothing")


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """Encode uint8 pixels, RGB (H, W, 3) or grey (H, W), as PNG, without loss."""
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


def _read_raw(
    data: bytes, format_name: str, max_mpx: float, conversion: PictureConversion | None
) -> tuple[RawPicture, PictureConversion] | None:
    """Read a picture that has more to it than 8-bit RGB; None if Pillow reads all of it that is used."""
    stated = conversion or DEFAULT_CONVERSION
    raw_format = find_raw_format(data)
    if raw_format:
        if stored := read_raw_file(data, max_mpx=max_mpx):
            if conversion is None:
                return stored
            refuse_other_page(stored.conversion, conversion)
            return stored.raw, conversion
        return raw_format.read(data, page=stated.page, max_mpx=max_mpx), stated
    if format_name == "PNG" and stated.value_range and is_deep_png(data):
        return read_deep_png(data, max_mpx=max_mpx), stated
    return None


def _develop(
    raw: RawPicture, conversion: PictureConversion, apply_orientation: bool, *, is_from_outside: bool
) -> DecodedPicture:
    pixels = convert(raw, conversion)
    if apply_orientation and raw.orientation != 1:
        pixels = np.ascontiguousarray(np.moveaxis(orient(np.moveaxis(pixels, 2, 0), raw.orientation), 0, 2))
    return DecodedPicture(
        pixels,
        EXTENSION,
        raw.orientation,
        count_bits_used(raw, conversion),
        stored=write_raw_file(raw, conversion) if is_from_outside else None,
    )


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
            raise too_large(f"{width} x {height} px", max_mpx)
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


def _sixteen_bits(image: Image.Image) -> NDArray[np.uint16]:
    """Return a grey picture of more than 8 bits as uint16 (H, W)."""
    return np.asarray(image).clip(0, 65535).astype(np.uint16)


def _count_bits_used(data: bytes, image: Image.Image, pixels: NDArray[np.uint8]) -> int:
    """Return `DecodedPicture.bits_used`. Of 16-bit colour Pillow reads the upper bytes only."""
    if image.mode.startswith("I"):
        return int(_sixteen_bits(image).max()).bit_length()
    return int(pixels.max()).bit_length() + 8 if is_deep_png(data) else 0


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
        if image.mode == "RGBA" and not np.asarray(image)[..., :3].any():
            return _in_three_bytes(np.asarray(image)[..., 3])
        return np.array(image.convert("RGB"), dtype=np.uint8)
    stored = np.asarray(image)
    return _in_three_bytes(stored[..., 0] if stored.ndim == 3 else stored)


def _raw_values(raw: RawPicture) -> NDArray[np.uint8]:
    """Return the same of a raw picture: its RGB, or its one number a pixel."""
    if raw.values.shape[2] == 3 and raw.values.dtype == np.uint8:
        return np.asarray(raw.values)
    if raw.values.shape[2] != 1 or raw.values.dtype.kind not in "ui":
        raise PictureError("the picture stores neither one whole number a pixel nor 8-bit RGB")
    return _in_three_bytes(raw.values[:, :, 0])


def _in_three_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.min() < 0 or values.max() > _MAX_VALUE:
        raise PictureError(f"the picture stores numbers outside 0 to {_MAX_VALUE}")
    wide = values.astype(np.uint32)
    return np.stack([wide >> shift & 0xFF for shift in (16, 8, 0)], axis=-1).astype(np.uint8)
