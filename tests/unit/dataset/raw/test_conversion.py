"""Every grey level here was computed by hand: floor(256 * (value - low) / (high - low)), clipped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dataset.raw.conversion import (
    DEFAULT_CONVERSION,
    PictureConversion,
    conversion_of,
    convert,
    count_bits_used,
)
from dataset.raw.raw_picture import RawPicture
from maskloop.errors import ConfigurationError, PictureError
from maskloop.settings.picture_settings import PictureSettings
from maskloop.settings.workspace_settings import parse_settings


def grey(values, dtype=np.uint16, **facts):
    return RawPicture(np.array([values], dtype)[:, :, np.newaxis], **facts)


def levels(raw, conversion=DEFAULT_CONVERSION):
    pixels = convert(raw, conversion)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, np.repeat(pixels[:, :, :1], 3, axis=2))
    return pixels[0, :, 0].tolist()


@given(arrays(np.uint16, array_shapes(min_dims=2, max_dims=2)))
def test_by_default_sixteen_bits_keep_their_upper_byte(values):
    assert np.array_equal(
        convert(RawPicture(values[:, :, np.newaxis]), DEFAULT_CONVERSION)[:, :, 1], values >> 8
    )


@given(arrays(np.uint8, (3, 2, 3)), st.sampled_from([None, (0.0, 4096.0), (-1.0, 1.0)]))
def test_pixels_of_eight_bits_stay_under_any_range(pixels, value_range):
    assert np.array_equal(convert(RawPicture(pixels), PictureConversion(value_range)), pixels)


def test_twelve_bits_in_sixteen_keep_their_contrast():
    twelve = conversion_of(PictureSettings(depth_bits=12))
    assert levels(grey([0, 15, 16, 2048, 4095, 4096, 65535]), twelve) == [0, 0, 1, 128, 255, 255, 255]
    every = grey(range(4096))
    assert set(levels(every, twelve)) == set(range(256))
    assert len(set(levels(every))) == 16


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.int32, np.float16])
def test_values_of_other_types_need_a_range_and_are_clipped_to_it(dtype):
    raw = grey([-300, -200, 0, 199, 200, 300], dtype)
    stated = PictureConversion((-200.0, 200.0))
    assert levels(raw, stated) == [0, 0, 128, 255, 255, 255]
    with pytest.raises(PictureError, match=rf"type {np.dtype(dtype)}.*pictures.value_range"):
        convert(raw, DEFAULT_CONVERSION)


def test_a_window_is_a_range_around_its_centre():
    lung = conversion_of(PictureSettings(window=(-600.0, 1500.0)))
    assert lung.value_range == (-1350.0, 150.0)
    assert levels(grey([-1350, -600, 150], np.int16), lung) == [0, 128, 255]


@given(st.integers(1, 16), arrays(np.uint16, 7))
def test_a_bit_depth_shifts_and_one_of_sixteen_is_the_default(depth_bits, values):
    stated = conversion_of(PictureSettings(depth_bits=depth_bits))
    expected = (values.astype(np.int64) * 256 >> depth_bits).clip(0, 255)
    assert levels(grey(values), stated) == expected.tolist()
    assert (stated == DEFAULT_CONVERSION) == (depth_bits == 16)


def test_where_zero_is_white_the_levels_are_inverted_and_nothing_measured_stays_black():
    film = grey([0, 1024, 4095, 9999], is_white_zero=True)
    assert levels(film, PictureConversion((0.0, 4096.0), nodata=9999.0)) == [255, 191, 0, 0]


def test_what_is_not_a_number_and_what_says_no_data_is_black():
    raw = grey([np.nan, -9999.0, 0.5, np.inf], np.float32)
    assert levels(raw, PictureConversion((0.0, 1.0), nodata=-9999.0)) == [0, 0, 128, 255]


def test_no_data_that_the_file_declares_has_to_be_stated():
    raw = grey([7, 65535], declared_nodata=65535.0)
    with pytest.raises(
        PictureError, match=r"nothing was measured where the value is 65535.*pictures.nodata = 65535"
    ):
        convert(raw, DEFAULT_CONVERSION)
    assert levels(raw, PictureConversion(nodata=65535.0)) == [0, 0]
    assert levels(grey([256, 512], declared_nodata=65535.0)) == [1, 2]
    assert levels(grey([256, 512], declared_nodata=-9999.0)) == [1, 2]


def test_bands_are_chosen_in_the_order_that_is_stated():
    values = np.array([[[10, 20, 30, 40]]], np.uint8)
    assert convert(RawPicture(values), PictureConversion(bands=(4, 2, 1))).tolist() == [[[40, 20, 10]]]
    assert convert(RawPicture(values), PictureConversion(bands=(3,))).tolist() == [[[30, 30, 30]]]
    with pytest.raises(PictureError, match=r"has 4 bands, and which are red.*pictures.bands"):
        convert(RawPicture(values), DEFAULT_CONVERSION)
    with pytest.raises(PictureError, match=r"has 4 bands, and band 5 is read"):
        convert(RawPicture(values), PictureConversion(bands=(1, 2, 5)))


def test_a_large_picture_is_converted_in_parts_that_fit_together():
    values = np.arange(3000 * 1500, dtype=np.int32).reshape(1500, 3000, 1)
    pixels = convert(RawPicture(values), PictureConversion((0.0, float(values.size))))
    assert np.array_equal(pixels[:, :, 0], (values[:, :, 0].astype(np.int64) * 256) // values.size)


def test_bits_are_counted_only_where_no_range_is_stated():
    assert count_bits_used(grey([0, 4095]), DEFAULT_CONVERSION) == 12
    assert count_bits_used(grey([0, 4095]), PictureConversion((0.0, 4096.0))) == 0
    assert count_bits_used(grey([0, 200], np.uint8), DEFAULT_CONVERSION) == 0


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"depth_bits": 12},
        {"window": [40, 400], "page": 3},
        {"value_range": [-1.5, 2], "bands": [3, 2, 1], "nodata": -9999},
    ],
)
def test_a_conversion_is_the_same_after_it_was_written_and_read(stated):
    conversion = conversion_of(parse_settings({"pictures": stated}).pictures)
    assert PictureConversion.from_json(conversion.to_json()) == conversion
    assert (conversion.to_json() == {}) == (stated == {})


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ({"depth_bits": 12, "window": [40, 400]}, "depth_bits and window say the same thing"),
        ({"value_range": [5, 5]}, "what becomes black, then what becomes white"),
        ({"window": [5, 0]}, "the width is above 0"),
        ({"bands": [1, 2]}, "three bands"),
        ({"bands": [0]}, "bands"),
        ({"depth_bits": 17}, "depth_bits"),
    ],
)
def test_settings_that_mean_nothing_are_refused(stated, says):
    with pytest.raises(ConfigurationError, match=says):
        parse_settings({"pictures": stated})


@pytest.mark.parametrize(
    "stated", [{"value_range": [1, 1]}, {"value_range": [0, float("nan")]}, {"bands": [1, 2]}, {"page": 0}]
)
def test_a_record_of_a_conversion_that_means_nothing_is_refused(stated):
    with pytest.raises(ValueError, match=r"range|bands"):
        PictureConversion.from_json(stated)
