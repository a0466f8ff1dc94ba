"""Samples are summarised by hour, model version, source and feature; what is odd about them is counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitoring.features.table import EMBEDDING
from monitoring.samples.values import Sample
from monitoring.sketches.buckets import Bucket, Sketch, bucket_of, draw_bases, merge, summarise
from monitoring.sketches.fourier import FourierSum
from monitoring.sketches.number_sketch import NumberSketch

NOON = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def sample(name: str = "a", **changes: object) -> Sample:
    made = Sample(name, NOON, "3", "w1", "d", "camera 1", {"brightness": 0.5, "count": 2.0}, (0.1, 0.2, 0.3))
    return replace(made, **changes)  # type: ignore[arg-type]


def sketches_of(*samples: Sample, now: datetime = NOON) -> Mapping[tuple[Bucket, str], Sketch]:
    return summarise(samples, draw_bases(samples, {}), now=now).sketches


def test_a_sample_belongs_to_the_hour_in_which_it_was_received() -> None:
    bucket = bucket_of(sample())
    assert (bucket.start, bucket.length_s) == (datetime(2026, 3, 1, 12, tzinfo=UTC), 3600)
    assert bucket.day.start == datetime(2026, 3, 1, tzinfo=UTC)
    assert bucket.day.length_s == 86_400
    elsewhere = NOON.astimezone(tz=None)
    assert bucket_of(sample(received_at=elsewhere)) == bucket


@pytest.mark.parametrize(
    "changes",
    [
        {"received_at": NOON + timedelta(hours=1)},
        {"source": "camera 2"},
        {"weights_digest": "w2", "model_version": "4"},
    ],
    ids=["hour", "source", "version"],
)
def test_hours_sources_and_versions_stay_apart(changes: Mapping[str, object]) -> None:
    found = sketches_of(sample("a"), sample("b", **changes))
    of_brightness = {bucket: one for (bucket, feature), one in found.items() if feature == "brightness"}
    assert [one.num_values for one in of_brightness.values()] == [1, 1]


def test_features_of_classes_are_apart_by_their_names() -> None:
    features = {"count": 3.0, "count of bolt": 1.0, "count of nut": 2.0}
    found = sketches_of(sample(features=features), sample("b", features=features))
    numbers = {feature: one for (_, feature), one in found.items() if isinstance(one, NumberSketch)}
    assert {name: (one.num_values, one.mean) for name, one in numbers.items()} == {
        "count": (2, 3.0),
        "count of bolt": (2, 1.0),
        "count of nut": (2, 2.0),
    }


def test_a_value_that_should_be_there_is_missing_and_one_of_no_detection_is_not() -> None:
    with_scores = {"brightness": 0.5, "count": 1.0, "mean_score": 0.9}
    without = {"brightness": None, "count": 0.0, "mean_score": None}
    found = sketches_of(sample("a", features=with_scores), sample("b", features=without))
    missing = {feature: one.num_missing for (_, feature), one in found.items()}
    assert (missing["brightness"], missing["mean_score"], missing["count"]) == (1, 0, 0)


def test_a_feature_that_a_whole_source_lacks_is_missing_there() -> None:
    found = sketches_of(sample("a"), sample("b", source="camera 2", features={"count": 2.0}))
    (lacking,) = [
        one
        for (bucket, feature), one in found.items()
        if (bucket.source, feature) == ("camera 2", "brightness")
    ]
    assert (lacking.num_values, lacking.num_missing) == (0, 1)


def test_a_clock_that_is_ahead_is_counted_and_its_sample_is_kept_at_its_time() -> None:
    ahead = sample("b", received_at=NOON + timedelta(hours=2))
    summary = summarise([sample(), ahead], {}, now=NOON)
    assert (summary.num_samples, summary.num_ahead) == (2, 1)
    assert {bucket.start.hour for bucket, _ in summary.sketches} == {12, 14}
    nearly = sample("c", received_at=NOON + timedelta(minutes=4))
    assert summarise([nearly], {}, now=NOON).num_ahead == 0


def test_an_embedding_of_another_length_is_missing_and_counted() -> None:
    samples = [sample("a"), sample("b"), sample("c", embedding=(1.0,)), sample("d", embedding=None)]
    summary = summarise(samples, draw_bases(samples, {}), now=NOON)
    (found,) = [one for (_, feature), one in summary.sketches.items() if feature == EMBEDDING.name]
    assert (found.num_values, found.num_missing, summary.num_of_other_width) == (2, 2, 1)


def test_a_basis_is_drawn_once_for_each_model_and_is_always_the_same() -> None:
    samples = [sample(str(number), embedding=(float(number), 0.0)) for number in range(5)]
    drawn = draw_bases(samples, {})
    assert (drawn["w1"].frequencies == draw_bases(samples, {})["w1"].frequencies).all()
    assert draw_bases(samples, drawn) == {}
    other = draw_bases([replace(one, weights_digest="w2") for one in samples], drawn)
    assert (other["w2"].frequencies != drawn["w1"].frequencies).any()


def test_models_without_embeddings_have_numbers_only() -> None:
    found = sketches_of(sample(embedding=None))
    assert all(isinstance(one, NumberSketch) for one in found.values())


def test_no_sample_is_no_sketch() -> None:
    assert summarise([], {}, now=NOON).sketches == {}


def test_numbers_and_embeddings_cannot_be_merged() -> None:
    with pytest.raises(ValueError, match="of one kind"):
        merge([NumberSketch(), FourierSum()])
    with pytest.raises(ValueError, match="of one kind"):
        merge([])
