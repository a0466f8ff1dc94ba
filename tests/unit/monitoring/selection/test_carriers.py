"""What carries an alarm."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from monitoring.drift.baseline import Baseline, build_baseline
from monitoring.features.observation import Observation
from monitoring.features.table import FEATURES
from monitoring.samples.values import Sample
from monitoring.selection.carriers import MOST_CARRIERS, find_carriers
from monitoring.signals.feature_signal import FeatureSignal
from tests.fakes.selection_data import kept_sample, own_pictures

OWN = own_pictures(brightness=[0.1, 0.2, 0.3, 0.4], noise=[1.0, 2.0, 3.0, 4.0])


def drifted(name: str, before: float, after: float, effect: float = 0.5) -> FeatureSignal:
    feature = FEATURES.find(name)
    assert feature is not None
    return FeatureSignal(feature, 4, 4, 0.0, effect, 0.0, 0.0, effect, before, after, True)


def sample(name: str, *, source: str = "belt", hour: int = 9, **features: float) -> Sample:
    at = datetime(2026, 3, 1, hour, 30, tzinfo=UTC)
    return replace(kept_sample(name, features), source=source, received_at=at)


def test_each_samples_part_is_its_excess_over_a_picture_in_the_middle() -> None:
    """Shares of 1, 0.75 and 0.25 exceed one half by 0.5, 0.25 and nothing: two thirds and a third."""
    samples = [sample("far", brightness=0.9), sample("near", brightness=0.35), sample("own", brightness=0.15)]
    found = find_carriers([drifted("brightness", 0.25, 0.5)], OWN, samples)
    assert found is not None
    assert [(one.sample_id, one.percent) for one in found.samples] == [("far", 66.67), ("near", 33.33)]
    assert (found.percent, found.num_samples) == (100.0, 3)


def test_no_more_samples_are_named_than_carry_four_fifths() -> None:
    samples = [sample(f"s{number}", brightness=0.9) for number in range(10)]
    found = find_carriers([drifted("brightness", 0.25, 0.5)], OWN, samples)
    assert found is not None
    assert (len(found.samples), found.percent) == (8, 80.0)


def test_where_very_many_carry_it_fifty_are_named_with_their_part() -> None:
    samples = [sample(f"s{number:03}", brightness=0.9) for number in range(200)]
    found = find_carriers([drifted("brightness", 0.25, 0.5)], OWN, samples)
    assert found is not None
    assert (len(found.samples), found.percent) == (MOST_CARRIERS, 25.0)


def test_parts_are_added_up_by_source_hour_version_and_feature() -> None:
    samples = [
        sample("a", source="gate", hour=14, brightness=0.9, noise=9.0),
        sample("b", source="belt", hour=9, brightness=0.9, noise=0.0),
    ]
    found = find_carriers([drifted("brightness", 0.25, 0.5), drifted("noise", 2.5, 9.0)], OWN, samples)
    assert found is not None
    assert found.by_source == {"gate": 100.0}
    assert found.by_hour == {"2026-03-01 14:00": 100.0}
    assert found.by_feature == {"brightness": pytest.approx(66.7), "noise": pytest.approx(33.3)}
    assert found.by_class == {}
    assert set(found.samples[0].features) == {"brightness", "noise"}
    assert json.loads(json.dumps(found.to_json()))["by_source"] == {"gate": 100.0}


def test_without_a_drifted_signal_or_samples_nothing_carries_an_alarm() -> None:
    quiet = replace(drifted("brightness", 0.25, 0.5), drifted=False)
    assert find_carriers([quiet], OWN, [sample("a", brightness=0.9)]) is None
    assert find_carriers([drifted("brightness", 0.25, 0.5)], OWN, []) is None


def own_points(num: int, *, digests: bool = True) -> Baseline:
    """Return pictures on a line: the one called ``own7`` has brightness and embedding 7."""
    observations = [
        Observation({"brightness": float(at)}, (float(at), 0.0), picture_digest=f"own{at}" if digests else "")
        for at in range(num)
    ]
    return build_baseline(observations, weights_digest="w1", data_fingerprint="f1")


def bright(name: str, embedding: tuple[float, ...] | None) -> Sample:
    return kept_sample(name, {"brightness": 99.0}, embedding=embedding)


def test_beside_each_carrier_stands_the_nearest_own_picture() -> None:
    samples = [bright("a", (7.2, 0.0)), bright("b", (29.0, 5.0)), bright("c", None)]
    found = find_carriers([drifted("brightness", 20.0, 99.0)], own_points(40), samples)
    assert found is not None
    assert {one.sample_id: one.nearest for one in found.samples} == {"a": "own7", "b": "own29", "c": ""}
    assert found.no_nearest == ""


@pytest.mark.parametrize(
    ("own", "embedding", "why"),
    [
        (own_points(40, digests=False), (7.0, 0.0), "measured before it was noted which is which"),
        (own_points(29), (7.0, 0.0), "fewer than 30 of the champion's own pictures have an embedding"),
        (own_points(40), (7.0, 0.0, 1.0), "none of the samples has an embedding like the champion's"),
    ],
)
def test_why_no_own_picture_is_named_is_said(own: Baseline, embedding: tuple[float, ...], why: str) -> None:
    found = find_carriers([drifted("brightness", 20.0, 99.0)], own, [bright("a", embedding)])
    assert found is not None
    assert [one.nearest for one in found.samples] == [""]
    assert why in found.no_nearest


def test_the_masks_of_a_class_carry_it_by_the_class() -> None:
    own = own_pictures(**{"holes of nut": [0.0, 1.0, 2.0, 3.0]})
    found = find_carriers([drifted("holes of nut", 1.5, 5.0)], own, [kept_sample("a", {"holes of nut": 5.0})])
    assert found is not None
    assert found.by_class == {"nut": 100.0}
