import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from dataset.pictures.decoding import decode_picture, open_picture
from dataset.raw.conversion import DEFAULT_CONVERSION, PictureConversion
from dataset.raw.raw_file import read_raw_file, write_raw_file
from dataset.raw.raw_picture import RawPicture
from maskloop.errors import PictureError

TWELVE = PictureConversion((0.0, 4096.0))
conversions = st.sampled_from(
    [DEFAULT_CONVERSION, TWELVE, PictureConversion((-5.5, 1e9), bands=(3, 2, 1), page=2, nodata=-1.0)]
)
types = st.sampled_from(["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8"])
shapes = array_shapes(min_dims=3, max_dims=3, max_side=5).filter(lambda shape: shape[2] <= 2)
raws = st.builds(
    RawPicture,
    types.flatmap(lambda kind: arrays(kind, shapes)),
    st.integers(1, 8),
    st.booleans(),
)


@given(raws, conversions)
def test_values_orientation_and_conversion_come_back_as_they_were(raw, conversion):
    data = write_raw_file(raw, conversion)
    found = read_raw_file(data, max_mpx=1)
    assert found is not None
    assert found.conversion == conversion
    assert found.raw.values.dtype == raw.values.dtype
    assert np.array_equal(found.raw.values, raw.values, equal_nan=raw.values.dtype.kind == "f")
    assert (found.raw.orientation, found.raw.is_white_zero) == (raw.orientation, raw.is_white_zero)
    assert write_raw_file(found.raw, conversion) == data


@given(arrays(np.uint16, (3, 4, 1)), st.integers(1, 8))
def test_what_is_learned_from_is_what_the_service_sees(values, orientation):
    came = write_raw_file(RawPicture(values, orientation), DEFAULT_CONVERSION)
    asked = open_picture(came, max_mpx=1, conversion=TWELVE)
    assert asked.stored is not None
    assert np.array_equal(decode_picture(asked.stored, max_mpx=1), asked.pixels)
    again = open_picture(asked.stored, max_mpx=1, conversion=TWELVE)
    assert again.stored == asked.stored
    assert np.array_equal(again.pixels, asked.pixels)


def test_what_a_file_from_outside_states_itself_counts_for_nothing():
    stretched = write_raw_file(
        RawPicture(np.full((1, 1, 1), 255, np.uint16)), PictureConversion((0.0, 256.0))
    )
    assert decode_picture(stretched, max_mpx=1).max() == 255
    assert open_picture(stretched, max_mpx=1, conversion=TWELVE).pixels.max() == 15
    assert open_picture(stretched, max_mpx=1, conversion=DEFAULT_CONVERSION).pixels.max() == 0


def test_any_tool_opens_it():
    values = np.arange(12, dtype=np.uint16).reshape(3, 4, 1) * 5000
    with Image.open(io.BytesIO(write_raw_file(RawPicture(values), TWELVE))) as image:
        assert np.array_equal(np.asarray(image), values[:, :, 0])
    colours = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    with Image.open(io.BytesIO(write_raw_file(RawPicture(colours), DEFAULT_CONVERSION))) as image:
        assert np.array_equal(np.asarray(image), colours)


def test_a_page_that_was_not_kept_cannot_be_read():
    data = write_raw_file(RawPicture(np.zeros((2, 2, 1), np.uint8)), PictureConversion(page=3))
    assert open_picture(data, max_mpx=1, conversion=PictureConversion(page=3)).pixels.shape == (2, 2, 3)
    with pytest.raises(PictureError, match="holds page 3 of its original, and page 2 is read"):
        open_picture(data, max_mpx=1, conversion=PictureConversion(page=2))


def test_its_size_is_refused_by_its_header():
    data = write_raw_file(RawPicture(np.zeros((2, 600, 1), np.uint8)), DEFAULT_CONVERSION)
    with pytest.raises(PictureError, match=r"600 x 2 px, more than the 0\.001 million accepted"):
        read_raw_file(data, max_mpx=0.001)


def test_an_incomplete_one_is_refused():
    data = write_raw_file(RawPicture(np.ones((20, 20, 1), np.uint16)), TWELVE)
    with pytest.raises(PictureError, match="incomplete"):
        read_raw_file(data[:-1], max_mpx=1)


@given(st.data())
def test_hostile_bytes_are_refused_or_read_as_something_of_an_accepted_size(data):
    intact = bytearray(write_raw_file(RawPicture(np.ones((4, 4, 1), np.uint16)), TWELVE))
    for _ in range(data.draw(st.integers(1, 3))):
        intact[data.draw(st.integers(0, len(intact) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_raw_file(bytes(intact), max_mpx=0.001)
    except PictureError:
        return
    assert found is None or found.raw.values.shape[0] * found.raw.values.shape[1] <= 1000
