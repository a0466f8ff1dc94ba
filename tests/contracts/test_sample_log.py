"""What every sample log guarantees: the fake, SQLite and PostgreSQL."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitoring.samples.sample_log import Sample, SampleLog, SqlSampleLog
from tests.fakes.sample_log import FakeSampleLog

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MakeLog = Callable[[int], SampleLog]


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def make_log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeLog]:
    opened: list[SqlSampleLog] = []
    url = request.getfixturevalue("postgresql_url") if request.param == "postgresql" else ""

    def make(keep_pictures: int) -> SampleLog:
        if request.param == "fake":
            return FakeSampleLog(keep_pictures=keep_pictures, retention_days=90)
        opened.append(
            SqlSampleLog(tmp_path / "samples", url=url, keep_pictures=keep_pictures, retention_days=90)
        )
        return opened[-1]

    yield make
    for log in opened:
        log.close()


@pytest.fixture
def log(make_log: MakeLog) -> SampleLog:
    return make_log(100)


def sample(name: str, *, weights: str = "w1", at: datetime = NOON) -> Sample:
    return Sample(
        sample_id=name,
        received_at=at,
        model_version="3",
        weights_digest=weights,
        picture_digest="d",
        source="camera 1",
        features={"brightness": 0.5, "noise": None},
        embedding=(0.1, -2.5),
        class_counts={"bolt": 2},
        top_scores=(0.9, 0.4),
        width_px=40,
        height_px=30,
        orientation=6,
    )


def ids(samples: object) -> list[str]:
    return [one.sample_id for one in samples]  # type: ignore[attr-defined]


def test_a_sample_comes_back_as_it_was_added(log: SampleLog) -> None:
    assert log.add(sample("a"))
    assert log.get("a") == sample("a")
    assert log.get("b") is None


def test_the_same_id_is_added_once(log: SampleLog) -> None:
    assert log.add(sample("a"), b"first")
    assert not log.add(sample("a", weights="w2"), b"second")
    (kept,) = log.newest(10)
    assert kept.weights_digest == "w1"
    assert log.picture_bytes(kept) == b"first"
    assert log.counts().received == 1


def test_the_last_to_arrive_is_first_whatever_the_clock_says(log: SampleLog) -> None:
    for name, day in (("a", 3), ("b", 1), ("c", 2)):
        log.add(sample(name, at=NOON + timedelta(days=day)))
    assert ids(log.newest(10)) == ["c", "b", "a"]
    assert ids(log.newest(2)) == ["c", "b"]


def test_samples_are_found_by_version_time_and_being_pending(log: SampleLog) -> None:
    log.add(sample("old"))
    log.add(sample("other", weights="w2", at=NOON + timedelta(hours=1)))
    log.add(sample("new", at=NOON + timedelta(hours=2)))
    log.mark_scored("drift", ["new"])
    assert ids(log.newest(10, weights_digest="w1")) == ["new", "old"]
    assert ids(log.newest(10, after=NOON)) == ["new", "other"]
    assert ids(log.newest(10, pending_only=True)) == ["other", "old"]


def test_a_sample_is_scored_once_per_detector(log: SampleLog) -> None:
    log.add(sample("a"))
    log.add(sample("b"))
    assert log.mark_scored("drift", ["a", "a", "b"]) == ("a", "b")
    assert log.mark_scored("drift", ["b", "a"]) == ()
    assert log.mark_scored("quality", ["a"]) == ("a",)
    assert log.counts().scored == 2


def test_unknown_and_skipped_samples_are_not_scored(log: SampleLog) -> None:
    log.add(sample("a"))
    assert log.skip("a", "superseded")
    assert log.mark_scored("drift", ["a", "nobody"]) == ()
    assert log.counts().skipped_by_reason == {"superseded": 1}


def test_a_sample_can_be_left_out_from_the_first_moment(log: SampleLog) -> None:
    assert log.add(sample("a"), b"picture", skip_reason="failed")
    assert not log.add(sample("a"))
    assert log.newest(10, pending_only=True) == ()
    assert log.mark_scored("drift", ["a"]) == ()
    assert log.picture_bytes(log.newest(1)[0]) == b"picture"
    assert log.counts().skipped_by_reason == {"failed": 1}


def test_only_pending_samples_can_be_skipped(log: SampleLog) -> None:
    log.add(sample("a"))
    log.mark_scored("drift", ["a"])
    assert not log.skip("a", "late")
    assert not log.skip("nobody", "late")


def test_the_newest_pictures_are_kept_and_features_of_all(make_log: MakeLog) -> None:
    log = make_log(2)
    for name in "abc":
        log.add(sample(name), name.encode())
    log.add(sample("d"))
    kept = {one.sample_id: log.picture_bytes(one) for one in log.newest(10)}
    assert kept == {"a": None, "b": b"b", "c": b"c", "d": None}


def test_only_samples_with_a_kept_picture_are_returned_when_asked_for(make_log: MakeLog) -> None:
    log = make_log(2)
    for name in "abc":
        log.add(sample(name), name.encode())
    log.add(sample("d"))
    assert [one.sample_id for one in log.newest(10, with_picture=True)] == ["c", "b"]
    assert [one.sample_id for one in log.newest(1, with_picture=True)] == ["c"]


def test_a_picture_shared_by_two_samples_goes_with_the_last(make_log: MakeLog) -> None:
    log = make_log(2)
    for name, picture in (("a", b"same"), ("b", b"same"), ("c", b"new")):
        log.add(sample(name), picture)
    kept = {one.sample_id: log.picture_bytes(one) for one in log.newest(10)}
    assert kept == {"a": None, "b": b"same", "c": b"new"}


def test_a_quota_of_zero_keeps_no_picture(make_log: MakeLog) -> None:
    log = make_log(0)
    log.add(sample("a"), b"picture")
    assert log.newest(1)[0].picture_file is None


def test_pruning_forgets_samples_but_not_their_number(log: SampleLog) -> None:
    for name in ("scored", "skipped", "pending"):
        log.add(sample(name, at=NOON - timedelta(days=100)), name.encode())
    log.add(sample("young"), b"young")
    log.mark_scored("drift", ["scored"])
    log.skip("skipped", "superseded")
    pruned = log.prune(NOON)
    assert (pruned.samples, pruned.picture_files) == (3, 3)
    assert ids(log.newest(10)) == ["young"]
    counts = log.counts()
    assert (counts.received, counts.scored, counts.skipped, counts.pending) == (4, 1, 2, 1)
    assert counts.skipped_by_reason == {"superseded": 1, "expired": 1}
    assert log.prune(NOON).samples == 0
    assert log.counts() == counts


@pytest.mark.parametrize("seed", range(5))
def test_received_is_always_scored_and_skipped_and_pending(log: SampleLog, seed: int) -> None:
    chance = random.Random(seed)
    added = set()
    for step in range(60):
        name = str(chance.randrange(12))
        action = chance.choice(["add", "add", "score", "skip", "prune"])
        if action == "add" and log.add(sample(name, at=NOON + timedelta(days=step)), name.encode()):
            added.add((name, step))
        elif action == "score":
            log.mark_scored("drift", [name, str(chance.randrange(12))])
        elif action == "skip":
            log.skip(name, "why not")
        elif action == "prune" and chance.random() < 0.2:
            log.prune(NOON + timedelta(days=step + 70))
        counts = log.counts()
        assert counts.received == len(added) == counts.scored + counts.skipped + counts.pending
