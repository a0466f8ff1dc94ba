"""Sizes from headers are those that decoding gives, and hostile bytes give none."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from dataset.formats.picture_sizes import mask_decoder, parse_header, read_header, upright_size
from maskloop.errors import PictureError
from tests.fakes.coco_batches import HEIGHT_PX, WIDTH_PX, noise_pixels

FORMATS: dict[str, dict[str, Any]] = {
    "JPEG": {},
    "PNG": {},
    "lossy WebP": {"format": "WEBP"},
    "lossless WebP": {"format": "WEBP", "lossless": True},
    "TIFF": {},
}


def saved(kind: str, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = io.BytesIO()
    options: dict[str, Any] = {"format": kind, "exif": exif.tobytes()} | FORMATS.get(kind, {})
    if kind in ("TIFF", "BMP"):
        options["exif"] = exif
    Image.fromarray(noise_pixels(0)).save(file, **options)
    return file.getvalue()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_header_tells_the_upright_size(kind: str, orientation: int) -> None:
    header = parse_header(saved(kind, orientation))
    assert header
    size = (header.height_px, header.width_px)
    assert size == ((HEIGHT_PX, WIDTH_PX) if orientation < 5 else (WIDTH_PX, HEIGHT_PX))
    assert header.orientation == orientation


def test_a_bitmap_that_stands_on_its_head_has_a_height_too() -> None:
    data = saved("BMP")
    upside_down = data[:22] + (-HEIGHT_PX).to_bytes(4, "little", signed=True) + data[26:]
    for each in (data, upside_down):
        header = parse_header(each)
        assert header
        assert (header.height_px, header.width_px) == (HEIGHT_PX, WIDTH_PX)


@given(st.sampled_from([*FORMATS, "BMP"]), st.integers(0, 400), st.integers(0, 255))
def test_a_changed_byte_or_an_end_too_soon_gives_a_header_or_none(kind: str, at: int, value: int) -> None:
    data = saved(kind, 6)
    for hostile in (data[:at], data[:at] + bytes([value]) + data[at + 1 :]):
        header = parse_header(hostile)
        assert header is None or min(header.height_px, header.width_px) >= 1


@pytest.mark.parametrize(
    "data", [b"", b"text", b"\xff\xd8\xff\xda\0\2", b"II*\0\xff\xff\xff\xff", b"RIFF\0\0\0\0WEBP"]
)
def test_what_tells_no_size_has_no_header(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(data)
    assert read_header(tmp_path / "picture") is None


def test_what_no_header_tells_is_decoded_or_refused(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(saved("PNG"))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with mask_decoder() as decoder:
        assert upright_size(tmp_path / "good.png", decoder) == (HEIGHT_PX, WIDTH_PX)
        assert not decoder.is_running
        with pytest.raises(PictureError, match="decoded"):
            upright_size(tmp_path / "broken.png", decoder)
        with pytest.raises(PictureError, match="cannot be read"):
            upright_size(tmp_path / "gone.png", decoder)
