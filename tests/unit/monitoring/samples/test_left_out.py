from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from monitoring.samples.left_out import tell_clocks, tell_expired, tell_other_versions
from tests.fakes.drift_data import NOON, sample_of


def version_of(weights_digest: str) -> str:
    return {"w1": "1", "w2": "2"}.get(weights_digest, "")


def test_samples_of_a_known_and_of_an_unknown_version_are_told_apart_by_version() -> None:
    pending = [
        sample_of("a"),
        replace(sample_of("b", weights_digest="w2"), model_version="2"),
        *(replace(sample_of(name, weights_digest="stranger"), model_version="9") for name in "cd"),
    ]
    known, unknown = tell_other_versions(pending, "w1", version_of)
    assert known == "1 sample of version 2 is not judged: version 2 is not the champion"
    assert unknown.startswith("2 samples of version 9 are not judged: this workspace knows no model with the")
    assert "weights stranger" in unknown


def test_the_champions_own_samples_are_nothing_to_tell() -> None:
    assert tell_other_versions([sample_of("a")], "w1", version_of) == []
    assert tell_other_versions([], "w1", version_of) == []


def test_a_sample_without_version_or_weights_is_told_too() -> None:
    (told,) = tell_other_versions(
        [replace(sample_of("a", weights_digest=""), model_version="")], "w1", version_of
    )
    assert told.startswith("1 sample of version ? is not judged")
    assert "weights ?" in told


def test_times_that_are_not_yet_are_told_and_those_within_minutes_are_not() -> None:
    ahead = replace(sample_of("a"), received_at=NOON + timedelta(days=2))
    a_little = replace(sample_of("b"), received_at=NOON + timedelta(minutes=4))
    late = replace(sample_of("c"), received_at=NOON - timedelta(hours=9))
    (told,) = tell_clocks([ahead, a_little, late], NOON)
    assert told.startswith("1 sample of the newest has a time up to 2026-03-03 12:00 UTC, which is not yet")
    assert tell_clocks([a_little, late], NOON) == []


def test_samples_that_expired_unjudged_are_told() -> None:
    (told,) = tell_expired(3, 90.0)
    assert told.startswith("3 samples expired before a check: their times are longer ago than")
    assert "retention_days = 90;" in told
    assert tell_expired(0, 90.0) == []
