"""Figures over time: by hour, day and week, for each source and version or for all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from monitoring.sketches.buckets import Bucket, Kept
from monitoring.sketches.fourier import FourierSum
from monitoring.sketches.number_sketch import NumberSketch
from monitoring.sketches.timeline import align, draw_timeline, merge_features

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def kept(
    hour: int,
    values: list[float],
    *,
    source: str = "camera 1",
    version: str = "3",
    feature: str = "brightness",
) -> Kept:
    start_s = int((MONDAY + timedelta(hours=hour)).timestamp())
    return Kept(Bucket(start_s, 3600, f"w{version}", version, source), feature, NumberSketch.of(values))


def test_a_day_is_the_merge_of_its_hours() -> None:
    first, second = draw_timeline([kept(1, [1.0, 2.0]), kept(23, [6.0]), kept(24, [9.0])], "day")
    assert (first.since, first.num_values, first.mean) == (MONDAY, 3, 3.0)
    assert (first.smallest, first.largest, first.rank_error) == (1.0, 6.0, 0.0)
    assert first.quantiles is not None
    assert first.quantiles[2] == 2.0
    assert (second.since, second.num_values) == (MONDAY + timedelta(days=1), 1)


@pytest.mark.parametrize(("period", "num_figures"), [("hour", 4), ("day", 3), ("week", 2), ("all", 1)])
def test_periods_are_whole_in_utc_and_weeks_begin_on_monday(period: str, num_figures: int) -> None:
    hours = [kept(hour, [1.0]) for hour in (0, 23, 30, 7 * 24)]
    figures = draw_timeline(hours, period)  # type: ignore[arg-type]
    assert len(figures) == num_figures
    assert sum(one.num_values for one in figures) == 4
    assert figures[0].since == MONDAY


def test_sources_and_versions_are_apart_or_together() -> None:
    found = [
        kept(0, [1.0]),
        kept(0, [3.0], source="camera 2"),
        kept(0, [5.0], source="camera 2", version="4"),
    ]
    apart = draw_timeline(found, "day")
    assert [(one.source, one.model_version, one.mean) for one in apart] == [
        ("camera 1", "3", 1.0),
        ("camera 2", "3", 3.0),
        ("camera 2", "4", 5.0),
    ]
    assert [(one.source, one.mean) for one in draw_timeline(found, "day", by_version=False)] == [
        ("camera 1", 1.0),
        ("camera 2", 4.0),
    ]
    (together,) = draw_timeline(found, "day", by_version=False, by_source=False)
    assert (together.source, together.model_version, together.num_values) == ("", "", 3)


def test_embeddings_of_versions_are_never_merged() -> None:
    hours = []
    for version in ("3", "4"):
        bucket = Bucket(0, 3600, f"w{version}", version, "camera 1")
        hours.append(Kept(bucket, "embedding", FourierSum(5, 1, np.ones(4 if version == "3" else 8))))
    figures = draw_timeline(hours, "all", by_source=False, by_version=False)
    assert [(one.num_values, one.num_missing, one.mean) for one in figures] == [(5, 1, None)] * 2


def test_a_figure_names_the_class_and_unit_of_its_feature() -> None:
    of_class, gone = draw_timeline(
        [kept(0, [2.0], feature="count of hex bolt"), kept(0, [1.0], feature="no longer measured")], "day"
    )
    assert (of_class.class_name, of_class.unit) == ("hex bolt", "instances")
    assert (gone.class_name, gone.unit) == ("", "")


def test_a_period_in_which_everything_is_missing_has_counts_and_no_figures() -> None:
    (figure,) = draw_timeline([kept(0, [float("nan")] * 4)], "day")
    assert (figure.num_values, figure.num_missing) == (0, 4)
    assert figure.mean is figure.quantiles is figure.rank_error is None


def test_nothing_kept_is_no_figure() -> None:
    assert draw_timeline([], "all") == ()
    assert merge_features([]) == {}


def test_features_are_merged_over_hours_and_sources() -> None:
    merged = merge_features(
        [kept(0, [1.0]), kept(5, [2.0], source="camera 2"), kept(5, [3.0], feature="count")]
    )
    assert {name: one.num_values for name, one in merged.items()} == {"brightness": 2, "count": 1}


def test_a_period_begins_with_a_whole_day_or_week() -> None:
    moment = datetime(2026, 3, 5, 17, 20, tzinfo=UTC)
    assert align(moment, "hour") == align(moment, "day") == datetime(2026, 3, 5, tzinfo=UTC)
    assert align(moment, "week") == MONDAY
    assert align(moment, "all") == datetime(2026, 3, 5, tzinfo=UTC)
