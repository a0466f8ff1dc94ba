import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from dataset.pictures.decoding import (
    decode_picture,
    encode_png,
    open_picture,
    orient,
    values_of,
)
from dataset.raw.conversion import DEFAULT_CONVERSION
from maskloop.errors import PictureError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (24, 31, 3), dtype=np.uint8)


def saved(image: Image.Image, format_name: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=format_name, **options)
    return buffer.getvalue()


def with_exif(format_name: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return saved(Image.fromarray(PIXELS), format_name, exif=exif.tobytes(), lossless=True)


def decode(data: bytes) -> np.ndarray:
    return decode_picture(data, max_mpx=1.0)


def test_a_png_comes_back_as_it_was():
    assert np.array_equal(decode(encode_png(PIXELS)), PIXELS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied_and_orient_does_the_same_to_masks(orientation):
    opened = open_picture(with_exif("PNG", orientation), max_mpx=1)
    mine = np.stack([orient(PIXELS[:, :, channel], orientation) for channel in range(3)], axis=2)
    assert opened.orientation == orientation
    assert np.array_equal(opened.pixels, mine)


def test_the_orientation_can_be_left_alone():
    stored = decode_picture(with_exif("PNG", 6), max_mpx=1, apply_orientation=False)
    assert np.array_equal(stored, PIXELS)


def test_sixteen_bit_grey_is_scaled_and_not_clipped():
    deep = np.array([[0, 256, 32768, 65535]], dtype=np.uint16)
    assert decode(saved(Image.fromarray(deep)))[0, :, 0].tolist() == [0, 1, 128, 255]


def sixteen_bit_colour(values: np.ndarray) -> bytes:
    """A PNG of uint16 (H, W, 3); Pillow writes none."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = b""
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(("largest", "num_bits"), [(65535, 16), (4095, 12), (200, 8)])
def test_the_bits_that_a_sixteen_bit_picture_uses_are_counted(largest, num_bits):
    values = np.array([[0, largest // 2, largest]], dtype=np.uint16)
    assert open_picture(saved(Image.fromarray(values)), max_mpx=1).bits_used == num_bits
    colour = open_picture(sixteen_bit_colour(np.stack([values] * 3, axis=2)), max_mpx=1)
    assert colour.bits_used == num_bits
    assert colour.pixels[0, 2].tolist() == [largest >> 8] * 3


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "WEBP"])
def test_of_other_pictures_no_bits_are_counted(format_name):
    assert open_picture(saved(Image.fromarray(PIXELS), format_name), max_mpx=1).bits_used == 0


def test_transparency_is_composited_over_black():
    rgba = np.array([[[200, 100, 50, 0], [200, 100, 50, 255]]], dtype=np.uint8)
    assert decode(saved(Image.fromarray(rgba))).tolist() == [[[0, 0, 0], [200, 100, 50]]]


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_every_usual_mode_becomes_three_channels(mode):
    image = Image.fromarray(PIXELS).convert(mode)
    data = saved(image, "JPEG" if mode == "CMYK" else "PNG")
    picture = decode(data)
    assert picture.shape == PIXELS.shape
    assert picture.dtype == np.uint8


def test_a_bmp_comes_back_as_it_was_and_is_kept_as_it_is():
    opened = open_picture(saved(Image.fromarray(PIXELS), "BMP"), max_mpx=1, conversion=DEFAULT_CONVERSION)
    assert np.array_equal(opened.pixels, PIXELS)
    assert (opened.extension, opened.stored) == (".bmp", None)


def test_other_formats_are_refused():
    with pytest.raises(PictureError, match="no JPEG, PNG, WebP, BMP, TIFF, DICOM or HEIC picture"):
        decode(saved(Image.fromarray(PIXELS), "GIF"))


def test_an_empty_file_is_refused():
    with pytest.raises(PictureError, match="empty"):
        decode(b"")


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "WEBP"])
def test_a_truncated_picture_is_refused(format_name):
    data = saved(Image.fromarray(PIXELS), format_name)
    with pytest.raises(PictureError):
        decode(data[: len(data) // 2])


def claiming(width: int, height: int) -> bytes:
    """A 69-byte PNG that says it is enormous."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = b""
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize("side", [1_001, 10_000, 14_000, 65_500])
def test_a_small_file_that_claims_to_be_huge_is_refused_before_decoding(side):
    with pytest.raises(PictureError, match=r"px, more than the 1 million accepted.*data.max_picture_mpx"):
        decode(claiming(side, side))


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0, 10_000), bit=st.integers(0, 7), format_name=st.sampled_from(["PNG", "WEBP"]))
def test_a_flipped_bit_gives_pixels_or_a_picture_error(position, bit, format_name):
    data = bytearray(saved(Image.fromarray(PIXELS), format_name))
    data[position % len(data)] ^= 1 << bit
    with contextlib.suppress(PictureError):
        assert decode(bytes(data)).ndim == 3


def stored_values(image, format_name="PNG"):
    return values_of(open_picture(saved(image, format_name), max_mpx=1, as_values=True).pixels).tolist()


def test_of_a_mask_the_numbers_are_read_that_its_file_stores():
    palette = Image.fromarray(np.array([[0, 1, 200]], np.uint8), mode="L")
    palette.putpalette([9, 9, 9] * 256)  # of one colour: only the numbers tell the pixels apart
    assert stored_values(palette) == [[0, 1, 200]]
    assert stored_values(Image.fromarray(np.array([[0, 300, 65535]], np.uint16))) == [[0, 300, 65535]]
    assert stored_values(Image.fromarray(np.array([[False, True]]))) == [[0, 1]]
    assert stored_values(Image.fromarray(np.array([[[1, 2, 3]]], np.uint8))) == [[0x010203]]


def test_a_masks_transparency_changes_no_number():
    grey = Image.fromarray(np.array([[[7, 0], [8, 255]]], np.uint8), mode="LA")
    coloured = Image.fromarray(np.array([[[1, 2, 3, 0]]], np.uint8), mode="RGBA")
    assert stored_values(grey) == [[7, 8]]
    assert stored_values(coloured) == [[0x010203]]
