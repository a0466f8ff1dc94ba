"""What features are computed from: tiles, luma, filters and shapes, each by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from evaluation.instances import Detections
from maskloop.errors import PictureError
from maskloop.masks import encode_masks
from monitoring.features.answered_picture import AnsweredPicture, moments, second_difference
from monitoring.features.answers import ANSWER_FEATURES, CLASS_FEATURES
from monitoring.features.feature import ClassFeature, Feature, FeatureTable
from monitoring.features.observation import finite_embedding, finite_features
from tests.fakes.drift_data import no_detections, painted

Box = tuple[float, float, float, float]


def seen(pixels: NDArray[np.uint8]) -> AnsweredPicture:
    return AnsweredPicture(pixels, no_detections())


def plain(height: int, width: int, level: int = 0) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, dtype=np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "tiles"),
    [
        (1, 1, (1, 1, 1)),
        (1024, 1024, (1, 1024, 1024)),
        (1025, 1024, (16, 256, 256)),
        (100, 20_000, (16, 100, 256)),
        (20_000, 100, (16, 256, 100)),
    ],
)
def test_more_than_a_megapixel_is_read_through_sixteen_tiles(
    height: int, width: int, tiles: tuple[int, int, int]
) -> None:
    assert seen(plain(height, width)).planes.shape == (3, *tiles)


def test_tiles_reach_all_four_corners_of_a_picture() -> None:
    picture = plain(1300, 1100)
    for (row, column), level in zip(((0, 0), (0, -1), (-1, 0), (-1, -1)), (10, 20, 30, 40), strict=True):
        picture[row, column] = level
    red = seen(picture).planes[0]
    corners = red[0, 0, 0], red[3, 0, -1], red[12, -1, 0], red[15, -1, -1]
    assert [int(level) for level in corners] == [10, 20, 30, 40]
    assert (red > 0).sum() == 4


def test_luma_is_the_weighted_sum_in_thousandths_of_grey_levels() -> None:
    for colour, luma in (((1, 0, 0), 299), ((0, 1, 0), 587), ((0, 0, 1), 114), ((255, 255, 255), 255_000)):
        assert (seen(painted(*colour)).luma == luma).all()


def test_planes_and_their_means_are_red_green_and_blue() -> None:
    picture = seen(painted(255, 51, 0))
    assert [int(plane[0, 0, 0]) for plane in picture.planes] == [255, 51, 0]
    assert picture.mean_rgb == pytest.approx((1.0, 0.2, 0.0))


def test_a_second_difference_is_one_minus_two_one_along_its_axis() -> None:
    values = np.array([[[1, 2, 4], [3, 5, 5], [9, 1, 7]]], dtype=np.float32)
    assert second_difference(values, axis=1).tolist() == [[[1 + 9 - 6, 2 + 1 - 10, 4 + 7 - 10]]]
    assert second_difference(values, axis=2).tolist() == [[[1 + 4 - 4], [3 + 5 - 10], [9 + 7 - 2]]]


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(3, 9))
def test_a_ramp_has_no_second_difference(start: int, slope: int, length: int) -> None:
    ramp = (start + slope * np.arange(length, dtype=np.float32)).reshape(1, length, 1)
    assert not second_difference(ramp, axis=1).any()


@pytest.mark.parametrize(("height", "width", "is_there"), [(3, 3, True), (2, 9, False), (9, 2, False)])
def test_a_filter_needs_three_pixels_each_way(height: int, width: int, is_there: bool) -> None:
    assert (seen(plain(height, width)).luma_second_difference is not None) == is_there


def test_moments_are_the_mean_and_the_mean_squared_distance_from_it() -> None:
    assert moments(np.array([[[1, 2], [3, 6]]], dtype=np.float32)) == (3.0, (4 + 1 + 0 + 9) / 4)


def test_a_refused_picture_says_what_it_is() -> None:
    with pytest.raises(PictureError) as refused:
        seen(np.zeros((4, 5, 4), np.uint8))
    assert str(refused.value) == "a picture is uint8 (H, W, 3), not uint8 (4, 5, 4)"


# --- what was found ------------------------------------------------------------------------------


def found(*boxes: Box, scores: tuple[float, ...] = (), pixels: tuple[int, ...] = ()) -> AnsweredPicture:
    """Build an answer; a mask has so many ``pixels`` in the first row of a picture of 10 x 20 px."""
    masks = np.zeros((len(boxes), 10, 20), dtype=bool)
    for mask, num in zip(masks, pixels or (1,) * len(boxes), strict=True):
        mask[0, :num] = True
    detections = Detections(
        10,
        20,
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
        np.array(scores or (0.9,) * len(boxes), dtype=np.float32),
        np.arange(len(boxes), dtype=np.int64) % 2,
        encode_masks(masks),
    )
    return AnsweredPicture(plain(10, 20), detections)


def value(name: str, answer: AnsweredPicture) -> float:
    table = FeatureTable(ANSWER_FEATURES, CLASS_FEATURES)
    return table.measure(answer, ["bolt", "nut"])[name]


UNIT: Box = (0, 0, 1, 1)


@pytest.mark.parametrize(
    ("name", "answer", "expected"),
    [
        ("low_score_share", found(UNIT, UNIT, scores=(0.5, 0.25)), 0.5),
        ("low_score_share", found(UNIT, scores=(0.5,)), 0.0),
        ("max_score", found(UNIT, UNIT, scores=(0.25, 0.75)), 0.75),
        ("mean_score", found(UNIT, UNIT, scores=(0.25, 0.75)), 0.5),
        ("mean_relative_area", found(UNIT, UNIT, pixels=(2, 6)), 4 / 200),
        ("mean_fill", found((0, 0, 4, 2), pixels=(2,)), 0.25),
        ("mean_fill", found((0, 0, 2, 1), (0, 0, 4, 1), pixels=(8, 2)), (1.0 + 0.5) / 2),
        ("mean_aspect", found((0, 0, 6, 2), (0, 0, 1, 5)), (3 + 5) / 2),
        ("mean_aspect", found((0, 0, 0.25, 3)), 3.0),
        ("count of bolt", found(UNIT, UNIT, UNIT), 2.0),
        ("count of nut", found(UNIT, UNIT, UNIT), 1.0),
    ],
)
def test_a_feature_of_an_answer_is_as_computed_by_hand(
    name: str, answer: AnsweredPicture, expected: float
) -> None:
    assert value(name, answer) == pytest.approx(expected)


# --- the table -----------------------------------------------------------------------------------


def feature(name: str, measured: float | None, needs: str = "picture") -> Feature:
    return Feature(name, "light", needs, "", "f", "r", lambda _: measured, "l", "h")  # type: ignore[arg-type]


def test_values_are_rounded_to_six_decimals_and_missing_ones_left_out() -> None:
    table = FeatureTable((feature("a", 0.12345649), feature("b", 0.1234565001), feature("c", None)))
    assert table.measure(seen(painted(1, 2, 3)), ()) == {"a": 0.123456, "b": 0.123457}


def test_a_feature_of_detections_is_not_even_asked_where_there_are_none() -> None:
    table = FeatureTable((feature("a", 1.0, "detections"), feature("b", 2.0, "answer")))
    assert table.measure(seen(painted(1, 2, 3)), ()) == {"b": 2.0}
    assert table.measure(found(UNIT), ()) == {"a": 1.0, "b": 2.0}


@pytest.mark.parametrize(
    ("needs", "features", "is_expected"),
    [
        ("picture", {"count": 0.0}, True),
        ("answer", {"count": 0.0}, True),
        ("detections", {"count": 0.0}, False),
        ("detections", {"count": 1.0}, True),
        ("detections", {"count": None}, True),
        ("detections", {}, True),
    ],
)
def test_only_a_feature_of_detections_may_be_missing_and_only_without_any(
    needs: str, features: dict[str, float | None], is_expected: bool
) -> None:
    assert feature("a", 1.0, needs).is_expected(features) == is_expected


def test_a_label_is_the_name_in_words() -> None:
    assert feature("low_score_share", 1.0).label == "low score share"


def test_a_feature_of_a_class_is_measured_only_with_the_class_at_hand() -> None:
    kind = ClassFeature(
        "size of ",
        "shape",
        "answer",
        "px",
        "{} shrinks",
        "{} grows",
        lambda _, index: index,
        "has a smaller {}",
        "has a larger {}",
    )
    told = kind.of_class("bolt")
    assert (told.name, told.unit, told.falls, told.rises, told.lower, told.higher) == (
        "size of bolt",
        "px",
        "bolt shrinks",
        "bolt grows",
        "has a smaller bolt",
        "has a larger bolt",
    )
    assert told.measure is None
    assert kind.of_index(3)(seen(painted(1, 2, 3))) == 3


def test_a_feature_by_its_own_name_is_found_before_one_of_a_class() -> None:
    kind = ClassFeature("size of ", "shape", "answer", "", "", "", lambda _, index: index, "", "")
    own = feature("size of all", 1.0)
    assert FeatureTable((own,), (kind,)).find("size of all") is own


# --- what is kept --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("embedding", "kept"),
    [
        (None, None),
        ((), None),
        ((1.0, float("nan")), None),
        ((1.0, float("-inf")), None),
        ((1e39,), None),
        ((1, 2.5), (1.0, 2.5)),
        (np.array([[1.0], [2.0]], dtype=np.float64), (1.0, 2.0)),
    ],
)
def test_an_embedding_is_kept_as_one_row_of_finite_float32_values(
    embedding: tuple[float, ...] | None, kept: tuple[float, ...] | None
) -> None:
    with np.errstate(over="ignore"):
        assert finite_embedding(embedding) == kept


def test_features_become_plain_floats() -> None:
    kept = finite_features({"a": np.float32(0.5), "b": 3, "c": None})  # type: ignore[dict-item]
    assert kept == {"a": 0.5, "b": 3.0, "c": None}
    assert [type(one) for one in kept.values()] == [float, float, type(None)]
