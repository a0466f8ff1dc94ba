import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from PIL import ExifTags, Image

from dataset.pictures.decoding import decode_picture, open_picture
from dataset.raw.conversion import DEFAULT_CONVERSION, PictureConversion
from dataset.raw.png import is_deep_png, read_deep_png
from maskloop.errors import PictureError
from tests.fakes.field_pictures import deep_png

TWELVE = PictureConversion((0.0, 4096.0))


@given(arrays(np.uint16, (3, 5, 3)))
def test_both_bytes_of_sixteen_bit_colours_are_read(values):
    assert np.array_equal(read_deep_png(deep_png(values), max_mpx=1).values, values)


@given(arrays(np.uint16, (3, 5)))
def test_both_bytes_of_sixteen_bit_grey_are_read(values):
    assert np.array_equal(read_deep_png(deep_png(values), max_mpx=1).values[:, :, 0], values)


@pytest.mark.parametrize("shape", [(64, 64), (16, 256, 3)])
def test_under_a_range_twelve_bits_span_all_grey_levels_and_are_kept_whole(shape):
    values = (np.arange(np.prod(shape)) % 4096).astype(np.uint16).reshape(shape)
    opened = open_picture(deep_png(values), max_mpx=1, conversion=TWELVE)
    expected = values >> 4 if values.ndim == 3 else np.stack([values >> 4] * 3, axis=2)
    assert np.array_equal(opened.pixels, expected)
    assert (opened.pixels.min(), opened.pixels.max()) == (0, 255)
    assert (opened.extension, opened.bits_used) == (".tif", 0)
    assert opened.stored is not None
    assert np.array_equal(decode_picture(opened.stored, max_mpx=1), expected)


def test_without_a_range_a_deep_png_is_read_and_kept_as_ever():
    values = np.array([[0, 255, 256, 4095, 65535]], np.uint16)
    for opened in (
        open_picture(deep_png(values), max_mpx=1, conversion=DEFAULT_CONVERSION),
        open_picture(deep_png(values), max_mpx=1),
        open_picture(deep_png(values), max_mpx=1, conversion=PictureConversion(bands=(1, 2, 3), page=2)),
    ):
        assert opened.pixels[0, :, 0].tolist() == [0, 0, 1, 15, 255]
        assert (opened.extension, opened.stored, opened.bits_used) == (".png", None, 16)


def test_its_orientation_is_applied_and_kept(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    values = np.arange(6, dtype=np.uint16).reshape(2, 3) * 600
    Image.fromarray(values).save(tmp_path / "turned.png", exif=exif.tobytes())
    opened = open_picture((tmp_path / "turned.png").read_bytes(), max_mpx=1, conversion=TWELVE)
    assert opened.orientation == 6
    assert np.array_equal(opened.pixels[:, :, 0], np.rot90(values >> 4, -1))
    again = open_picture(opened.stored or b"", max_mpx=1)
    assert (again.orientation, np.array_equal(again.pixels, opened.pixels)) == (6, True)


def test_deep_transparency_is_refused_under_a_range(tmp_path):
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(tmp_path / "clear.png", transparency=0)
    data = (tmp_path / "clear.png").read_bytes()
    assert is_deep_png(data)
    with pytest.raises(PictureError, match="transparency of 16 bits is not read under a value range"):
        open_picture(data, max_mpx=1, conversion=TWELVE)


def test_its_size_is_refused_by_its_header():
    with pytest.raises(PictureError, match="600 x 2 px, more than"):
        read_deep_png(deep_png(np.zeros((2, 600), np.uint16)), max_mpx=0.001)
