"""The features of a picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from maskloop.errors import PictureError
from monitoring.features.answered_picture import AnsweredPicture
from monitoring.features.feature import FeatureTable
from monitoring.features.pictures import PICTURE_FEATURES
from tests.fakes.drift_data import no_detections, noise_picture, painted

TABLE = FeatureTable(PICTURE_FEATURES)


def picture_features(picture: NDArray[np.uint8]) -> dict[str, float]:
    return TABLE.measure(AnsweredPicture(picture, no_detections()), ())


def test_one_plain_colour_has_the_features_computed_by_hand() -> None:
    features = picture_features(painted(255, 51, 0))
    assert features["brightness"] == pytest.approx(0.299 + 0.587 * 0.2, abs=1e-5)
    assert features["red_green"] == pytest.approx(0.8, abs=1e-5)
    assert features["yellow_blue"] == pytest.approx(0.6, abs=1e-5)
    assert features["saturation"] == 1.0
    assert (features["contrast"], features["entropy"]) == (0.0, 0.0)
    assert (features["noise"], features["sharpness"]) == (0.0, 0.0)


def test_half_black_half_white_has_contrast_one_half_and_one_bit() -> None:
    picture = painted(0, 0, 0)
    picture[:, 10:] = 255
    features = picture_features(picture)
    assert features["contrast"] == pytest.approx(0.5, abs=1e-5)
    assert features["entropy"] == pytest.approx(1.0, abs=1e-5)


def test_a_black_picture_has_no_saturation() -> None:
    assert picture_features(painted(0, 0, 0))["saturation"] == 0.0


@pytest.mark.parametrize("sd", [2.0, 5.0, 12.0])
def test_noise_is_the_standard_deviation_of_added_noise(sd: float) -> None:
    picture = noise_picture(np.random.default_rng(0), mean=128, sd=sd, side_px=200)
    assert picture_features(picture)["noise"] == pytest.approx(sd, rel=0.05)


def test_one_white_pixel_has_the_sharpness_and_noise_computed_by_hand() -> None:
    picture = painted(0, 0, 0, side_px=5)
    picture[2, 2] = 255
    features = picture_features(picture)
    assert features["sharpness"] == pytest.approx(np.log10(1 + 255**2 * (4 * 1 + 4**2) / 9), abs=1e-6)
    lower = 255 * (4 * 1 + 3 * 2) / 7  # of four 1, four 2 and one 4, seven are kept
    assert features["noise"] == pytest.approx(lower / 6 / 0.514903, abs=1e-5)


def test_the_noise_figure_hardly_reacts_to_edges() -> None:
    picture = painted(40, 40, 40, side_px=100)
    picture[::10] = 200
    assert picture_features(picture)["noise"] == 0.0


def test_blur_lowers_sharpness() -> None:
    sharp = noise_picture(np.random.default_rng(1), mean=128, sd=30)
    blurred = ((sharp[:-1].astype(int) + sharp[1:]) // 2).astype(np.uint8)
    assert picture_features(blurred)["sharpness"] < picture_features(sharp)["sharpness"] - 0.2


def test_the_number_of_pixels_does_not_matter() -> None:
    """A large picture is read through tiles, at its own scale."""
    rng = np.random.default_rng(2)
    small = picture_features(noise_picture(rng, mean=100, sd=10, side_px=300))
    large = picture_features(noise_picture(rng, mean=100, sd=10, side_px=1300))
    assert large == pytest.approx(small, rel=0.02, abs=1e-3)


def test_a_long_thin_large_picture_is_measured() -> None:
    picture = np.full((20, 60_000, 3), 51, dtype=np.uint8)
    assert picture_features(picture)["brightness"] == pytest.approx(0.2, abs=1e-5)


def test_a_picture_too_small_for_a_filter_lacks_sharpness_and_noise() -> None:
    features = picture_features(painted(9, 9, 9, side_px=2))
    assert "sharpness" not in features
    assert "noise" not in features
    assert "brightness" in features


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(PictureError):
        picture_features(wrong)


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3)), elements=st.integers(0, 255)
    )
)
def test_every_picture_has_finite_features_in_range(picture: NDArray[np.uint8]) -> None:
    features = picture_features(picture)
    assert np.isfinite(list(features.values())).all()
    for name, low, high in (
        ("brightness", 0, 1),
        ("contrast", 0, 0.5),
        ("saturation", 0, 1),
        ("entropy", 0, 8),
    ):
        assert low <= features[name] <= high + 1e-6
    assert -1 <= features["red_green"] <= 1
    assert -1 <= features["yellow_blue"] <= 1
