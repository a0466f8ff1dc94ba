"""Estimates of quality: near the truth, inside 0..1, and refused where nothing is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskloop.records.kinds import QualityEstimate
from monitoring.quality.estimator import (
    MIN_INSTANCES,
    WIDEST_BAND,
    estimate_quality,
    fit_estimator,
    fit_regression,
    weighted_quantile,
)
from monitoring.quality.lessons import SIGN_NAMES, Lessons, describe_reference, describe_window
from monitoring.quality.signs import Signs, no_signs

KINDS = ("as it is", "blur", "dark", "noise", "colour", "zoom")


def window(quality: float, *, num: int = 40, sharpness: float = 2.0, distance: float = 0.0) -> Signs:
    """Return pictures of two classes whose signs all fall together with the quality, 0..1."""
    rng = np.random.default_rng(int(1000 * quality))
    counts = np.full((num, 2), 2.0 * quality)
    return Signs(
        counts,
        counts * (0.5 + 0.4 * quality),
        counts * quality,
        counts,
        counts + 0.2,
        counts * 0.05,
        np.full(num, sharpness) + rng.normal(0.0, 0.1, num),
        (distance + rng.normal(0.0, 1.0, (num, 4))).astype(np.float32),
    )


def learn(**changes: object) -> Lessons:
    """Return lessons in which the mask IoU is 0.9 times the quality, and the AP 0.6 times."""
    reference = describe_reference(window(1.0))
    kinds, windows, figures = [], [], []
    rng = np.random.default_rng(5)
    for number, kind in enumerate(KINDS):
        for step in range(6):
            quality = 1.0 - 0.04 * number * step
            kinds.append(kind)
            windows.append(describe_window(window(quality), reference))
            figures.append(np.array([[0.9 * quality, 0.6 * quality]] * 2) + rng.normal(0.0, 0.02, (2, 2)))
    lessons = Lessons(
        "w" * 64,
        ("bolt", "nut"),
        tuple(kinds),
        np.stack(windows),
        np.stack(figures),
        np.array([60, 60]),
        40,
        reference,
    )
    return replace(lessons, **changes)  # type: ignore[arg-type]


def estimate(signs: Signs, lessons: Lessons | None = None, metric: str = "mask_iou") -> list[QualityEstimate]:
    return [one for one in estimate_quality(lessons or learn(), signs) if one.metric == metric]


@pytest.mark.parametrize("quality", [1.0, 0.83, 0.61, 0.35])
def test_an_estimate_is_near_the_truth_and_its_band_holds_it(quality: float) -> None:
    for one in estimate(window(quality)):
        assert one.value == pytest.approx(0.9 * quality, abs=0.04)
        assert one.low is not None
        assert one.high is not None
        assert one.low <= 0.9 * quality <= one.high
    assert [one.value for one in estimate(window(quality), metric="mask_ap")] == pytest.approx(
        [0.6 * quality] * 2, abs=0.04
    )


@given(st.floats(0.1, 1.0), st.floats(0.5, 4.0), st.floats(0.0, 2.0))
def test_every_number_of_an_estimate_is_in_order_between_0_and_1(
    quality: float, sharpness: float, distance: float
) -> None:
    for one in estimate_quality(LEARNED, window(quality, sharpness=sharpness, distance=distance)):
        if one.value is None or one.low is None or one.high is None:
            assert one.refused_because
            assert (one.value, one.low, one.high) == (None, None, None)
        else:
            assert 0.0 <= one.low <= one.value <= one.high <= 1.0
            assert one.high - one.low <= WIDEST_BAND


def test_a_worse_window_is_estimated_lower() -> None:
    values = [estimate(window(quality))[0].value for quality in (1.0, 0.9, 0.7, 0.5, 0.3)]
    assert all(value is not None for value in values)
    assert values == sorted(values, key=lambda value: value or 0.0, reverse=True)


def test_pictures_unlike_all_that_it_learned_from_are_refused_however_sure_the_answers_are() -> None:
    for one in estimate(window(1.0, distance=90.0, sharpness=90.0)):
        assert (one.value, one.low, one.high) == (None, None, None)
        assert one.refused_because == "pictures and answers are unlike any that it learned from"


def test_a_class_with_few_labelled_instances_is_refused_and_the_other_is_not() -> None:
    bolt, nut = estimate(window(0.9), learn(num_instances=np.array([MIN_INSTANCES - 1, MIN_INSTANCES])))
    assert bolt.refused_because == "19 labelled instances in 40 held-out pictures, and 20 are needed"
    assert (nut.value is None, nut.refused_because) == (False, "")


@pytest.mark.parametrize(
    ("num", "says"), [(0, "0 kept pictures"), (1, "1 kept picture "), (19, "19 kept pictures")]
)
def test_a_window_of_few_kept_pictures_is_refused(num: int, says: str) -> None:
    signs = window(0.9, num=num) if num else no_signs(2, 4)
    for one in estimate(signs):
        assert one.value is None
        assert one.refused_because.startswith(says)
        assert one.num_pictures == num


def test_pictures_without_sharpness_or_embedding_are_refused_and_not_called_good() -> None:
    whole = window(1.0)
    for blind in (
        replace(whole, sharpness=np.full(40, np.nan)),
        replace(whole, embeddings=np.full((40, 4), np.nan, np.float32)),
    ):
        assert {one.refused_because for one in estimate(blind)} == {
            "the sharpness or the embedding of the pictures is unknown"
        }


def test_one_picture_without_an_embedding_is_only_left_out() -> None:
    whole = window(0.9)
    whole.embeddings[3] = np.nan
    assert estimate(whole)[0].value == pytest.approx(0.81, abs=0.04)


def test_a_class_that_vanished_from_production_is_estimated_low_or_refused() -> None:
    whole = window(1.0)
    signs = {
        name: getattr(whole, name).copy() for name in ("counts", "score_sums", "agreements", "area_sums")
    }
    for values in signs.values():
        values[:, 1] = 0.0
    bolt, nut = estimate(replace(whole, **signs, counts_in_view=signs["counts"]))
    assert bolt.value == pytest.approx(0.9, abs=0.05)
    assert nut.value is None or nut.value < 0.3
    assert nut.value is not None or nut.refused_because


def test_a_class_that_only_two_kinds_of_change_show_is_refused() -> None:
    lessons = learn()
    hidden = lessons.figures.copy()
    hidden[12:, 1] = np.nan
    _, nut = estimate(window(0.9), replace(lessons, figures=hidden))
    assert nut.refused_because == "fewer than three kinds of change show it"


def test_signs_of_other_classes_are_an_error() -> None:
    with pytest.raises(ValueError, match="3 classes"):
        estimate_quality(learn(), no_signs(3, 4))


def test_a_band_too_wide_to_tell_anything_is_refused_with_its_ends() -> None:
    lessons = learn()
    rng = np.random.default_rng(0)
    chance = replace(lessons, figures=rng.uniform(0.0, 1.0, lessons.figures.shape))
    for one in estimate(window(0.9), chance):
        assert one.value is None
        assert one.refused_because.startswith("it may be anything from 0.")


def test_residuals_are_those_of_kinds_that_were_left_out() -> None:
    lessons = learn()
    one_is_unlike = lessons.figures.copy()
    one_is_unlike[30:] = 0.0
    usual, wide = (
        fit_estimator(lessons, 0, "mask_iou"),
        fit_estimator(replace(lessons, figures=one_is_unlike), 0, "mask_iou"),
    )
    assert usual is not None
    assert wide is not None
    assert wide.reach > 3.0 * usual.reach


def test_a_regression_returns_what_it_learned_where_it_learned_it_and_its_doubt_grows_with_distance() -> None:
    signs = np.linspace(0.0, 1.0, 12)[:, None] * np.ones(len(SIGN_NAMES))
    figures = 0.2 + 0.6 * signs[:, 0]
    regression = fit_regression(signs, figures)
    values, doubts = regression.predict(np.stack([signs[4], signs[-1] + 0.5, signs[-1] + 3.0]))
    assert values[0] == pytest.approx(figures[4], abs=0.02)
    assert doubts[0] < doubts[1] < doubts[2]


def test_a_weighted_quantile_counts_weights_and_not_values() -> None:
    values, weights = np.array([1.0, 5.0, 2.0]), np.array([0.1, 0.8, 0.1])
    assert weighted_quantile(values, weights, 0.9) == 5.0
    assert weighted_quantile(values, weights, 0.2) == 2.0


LEARNED = learn()
