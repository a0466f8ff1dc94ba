"""Windows of a TIFF show what the whole file shows, however it is laid out, and cost what they show."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.pictures.decoding import open_picture
from dataset.raw.conversion import PictureConversion
from dataset.raw.tiff_window import TiffScene
from maskloop.errors import PictureError
from tests.fakes.field_pictures import GEOTIFF, tiff

pytest.importorskip("tifffile")
RANDOM = np.random.default_rng(3)
RGB = RANDOM.integers(0, 256, (70, 90, 3), dtype=np.uint8)
GREY_16 = RANDOM.integers(0, 65536, (70, 90), dtype=np.uint16)
MAX_MPX = 0.002
LAYOUTS: dict[str, bytes] = {}


def layout(name: str) -> bytes:
    """Write a file as tifffile lays it out."""
    rgb: dict[str, Any] = {"photometric": "rgb"}
    kinds: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "one strip": (RGB, rgb),
        "short strips": (RGB, {**rgb, "rowsperstrip": 16}),
        "packed strips": (RGB, {**rgb, "rowsperstrip": 16, "compression": "zlib", "predictor": True}),
        "tiles": (RGB, {**rgb, "tile": (32, 16), "compression": "lzw"}),
        "planes": (np.moveaxis(RGB, 2, 0), {**rgb, "planarconfig": "separate", "rowsperstrip": 16}),
        "planes in tiles": (np.moveaxis(RGB, 2, 0), {**rgb, "planarconfig": "separate", "tile": (16, 32)}),
        "16 bits": (GREY_16, {"rowsperstrip": 16, "compression": "deflate"}),
        "big-endian": (GREY_16, {"byteorder": ">", "rowsperstrip": 7}),
        "BigTIFF": (GREY_16, {"bigtiff": True, "tile": (16, 16)}),
        "JPEG": (RGB, {**rgb, "compression": "jpeg", "tile": (16, 16)}),
        "palette": (
            RGB[..., 0],
            {"photometric": "palette", "colormap": np.arange(768).reshape(3, 256).astype(np.uint16) << 6},
        ),
    }
    values, options = kinds[name]
    return LAYOUTS.setdefault(name, tiff(values, **options))


NAMES = (
    "one strip",
    "short strips",
    "packed strips",
    "tiles",
    "planes",
    "planes in tiles",
    "16 bits",
    "big-endian",
    "BigTIFF",
    "JPEG",
    "palette",
)


def decode(data: bytes, **stated: Any) -> np.ndarray:
    return open_picture(
        data, max_mpx=MAX_MPX, apply_orientation=False, conversion=PictureConversion(**stated)
    ).pixels


@settings(max_examples=25, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("name", NAMES)
def test_a_window_shows_what_the_whole_file_shows(name: str, data: st.DataObject) -> None:
    file = layout(name)
    whole = open_picture(file, max_mpx=1, conversion=PictureConversion()).pixels
    top, left = data.draw(st.integers(0, 69)), data.draw(st.integers(0, 89))
    height, width = data.draw(st.integers(1, 70 - top)), data.draw(st.integers(1, 90 - left))
    scene = TiffScene(io.BytesIO(file))
    window = scene.read(decode, top_px=top, left_px=left, height_px=height, width_px=width, max_mpx=MAX_MPX)

    assert (scene.height_px, scene.width_px) == (70, 90)
    assert np.array_equal(window, whole[top : top + height, left : left + width])


def test_a_geotiff_of_gdal_is_read_in_parts_with_its_bands_and_where_nothing_was_measured() -> None:
    stated: dict[str, Any] = {"bands": (3, 2, 1), "value_range": (0.0, 10_000.0), "nodata": 65535.0}
    whole = open_picture(GEOTIFF, max_mpx=1, conversion=PictureConversion(**stated)).pixels
    scene = TiffScene(io.BytesIO(GEOTIFF))
    window = scene.read(
        lambda data: decode(data, **stated), top_px=1, left_px=10, height_px=18, width_px=20, max_mpx=MAX_MPX
    )

    assert np.array_equal(window, whole[1:19, 10:30])


class CountingFile(io.BytesIO):
    """Counts the bytes that are read."""

    num_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.num_bytes += len(data)
        return data


@pytest.mark.parametrize("options", [{}, {"tile": (64, 64), "compression": "zlib"}], ids=["rows", "tiles"])
def test_no_more_is_read_than_the_window_needs(options: dict[str, Any]) -> None:
    values = RANDOM.integers(0, 256, (1024, 1024), dtype=np.uint8)
    file = CountingFile(tiff(values, **options))
    scene = TiffScene(file)
    before = file.num_bytes
    window = scene.read(decode_all, top_px=512, left_px=512, height_px=64, width_px=64, max_mpx=1)

    assert np.array_equal(window[:, :, 0], values[512:576, 512:576])
    assert before < 10_000
    assert file.num_bytes - before <= 64 * 1024 + 100


def decode_all(data: bytes) -> np.ndarray:
    return open_picture(data, max_mpx=1, conversion=PictureConversion()).pixels


def test_a_file_packed_in_one_piece_is_refused_with_the_command_that_cuts_it() -> None:
    scene = TiffScene(io.BytesIO(tiff(RGB, photometric="rgb", compression="zlib", rowsperstrip=70)))
    with pytest.raises(PictureError, match=r"90 x 70 px, which are too large.*TILED=YES"):
        scene.read(decode, top_px=0, left_px=0, height_px=8, width_px=8, max_mpx=MAX_MPX)


def test_a_file_that_ends_too_early_costs_an_error_and_no_more() -> None:
    file = layout("short strips")
    scene = TiffScene(io.BytesIO(file[:-3000]))
    with pytest.raises(PictureError, match="incomplete"):
        scene.read(decode, top_px=0, left_px=0, height_px=70, width_px=90, max_mpx=1)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(4, 400), value=st.integers(0, 255))
def test_a_directory_of_any_bytes_costs_a_refusal_at_most(at: int, value: int) -> None:
    file = bytearray(GEOTIFF)
    file[at] = value
    with contextlib.suppress(PictureError):
        assert TiffScene(io.BytesIO(bytes(file))).height_px > 0


def test_what_is_no_tiff_is_refused() -> None:
    with pytest.raises(PictureError, match="no TIFF file"):
        TiffScene(io.BytesIO(b"\x89PNG"))
