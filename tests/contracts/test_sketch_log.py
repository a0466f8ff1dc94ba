"""The sketches of samples in SQLite and PostgreSQL: each sample counts once, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from maskloop.database.address import sqlite_url
from maskloop.database.database import Database
from maskloop.errors import IntegrityError, StorageError
from monitoring.samples.sample_log import SqlSampleLog
from monitoring.samples.values import Arrival, Sample, SampleLog
from monitoring.sketches.buckets import DAY_S, HOUR_S
from monitoring.sketches.fourier import FourierSum
from monitoring.sketches.number_sketch import NumberSketch
from monitoring.sketches.sketch_log import STORE, SqlSketchLog, TakenIn
from monitoring.sketches.timeline import draw_timeline, merge_features
from tests.fakes.sample_log import FakeSampleLog

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
NOON = MIDNIGHT + timedelta(hours=12)
FAR = MIDNIGHT + timedelta(days=999)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "sketches.db").render_as_string()
    address: str = request.getfixturevalue("postgresql_url")
    return address


@pytest.fixture
def sketches(url: str) -> Iterator[SqlSketchLog]:
    log = SqlSketchLog(url)
    yield log
    log.close()


@pytest.fixture
def samples() -> FakeSampleLog:
    return FakeSampleLog()


def sample(number: int, *, at: datetime = NOON, **changes: Any) -> Sample:
    features = {"brightness": number / 100, "count": 1.0}
    made = Sample(f"s{number}", at, "3", "w1", "d", "camera 1", features, (float(number), 1.0))
    return replace(made, **changes)


def counted(sketches: SqlSketchLog) -> dict[str, int]:
    """Return how many values each feature has in all."""
    return {name: one.num_values for name, one in merge_features(sketches.read(MIDNIGHT, FAR)).items()}


def test_samples_are_summarised_by_hour_and_read_back(sketches: SqlSketchLog, samples: FakeSampleLog) -> None:
    for number in range(10):
        samples.add(sample(number, at=NOON + timedelta(minutes=20 * number)))
    assert sketches.take_in(samples, now=FAR) == TakenIn(num_samples=10)
    kept = sketches.read(MIDNIGHT, FAR, features=["brightness"])
    assert [one.bucket.start.hour for one in kept] == [12, 13, 14, 15]
    assert [one.sketch.num_values for one in kept] == [3, 3, 3, 1]
    assert kept[0].sketch == NumberSketch.of([0.0, 0.01, 0.02])
    assert counted(sketches) == {"brightness": 10, "count": 10, "embedding": 10}


def test_the_second_time_only_what_is_new_is_added(sketches: SqlSketchLog, samples: FakeSampleLog) -> None:
    for expected in (1, 0, 0):
        samples.add(sample(0))
        assert sketches.take_in(samples, now=NOON).num_samples == expected
    samples.add(sample(1))
    assert sketches.take_in(samples, now=NOON).num_samples == 1
    assert counted(sketches)["brightness"] == 2


def test_a_late_sample_counts_once_for_the_hour_in_which_it_was_received(
    sketches: SqlSketchLog, samples: FakeSampleLog
) -> None:
    samples.add(sample(0, at=NOON))
    sketches.take_in(samples, now=NOON)
    samples.add(sample(1, at=NOON - timedelta(hours=5)))
    for _ in range(2):
        sketches.take_in(samples, now=NOON)
    figures = draw_timeline(sketches.read(MIDNIGHT, FAR, features=["brightness"]), "hour")
    assert [(one.since.hour, one.num_values) for one in figures] == [(7, 1), (12, 1)]


def test_failures_and_what_only_a_rule_kept_do_not_stand_for_production(
    sketches: SqlSketchLog, samples: FakeSampleLog
) -> None:
    samples.add(sample(0))
    samples.add(sample(1), skip_reason="kept because it is strange, not by chance")
    samples.add(replace(sample(2), weights_digest="", features={}), skip_reason="overloaded")
    samples.add(sample(3))
    samples.skip("s3", "superseded by newer samples")
    assert sketches.take_in(samples, now=NOON) == TakenIn(num_samples=2, num_left_out=2)
    assert counted(sketches)["brightness"] == 2


def test_more_samples_than_one_step_takes_are_all_taken(
    sketches: SqlSketchLog, samples: FakeSampleLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitoring.sketches.sketch_log._SAMPLES_AT_ONCE", 7)
    for number in range(20):
        samples.add(sample(number, at=NOON + timedelta(minutes=number)))
    assert sketches.take_in(samples, now=FAR).num_samples == 20
    (one,) = sketches.read(MIDNIGHT, FAR, features=["brightness"])
    whole = NumberSketch.of(np.arange(20) / 100)
    assert isinstance(one.sketch, NumberSketch)
    assert one.sketch.steps()[0].tolist() == whole.steps()[0].tolist()
    assert one.sketch.mean == pytest.approx(whole.mean)


class KilledError(Exception):
    """The process is killed."""


def test_a_crash_before_the_position_is_written_counts_nothing_twice(
    sketches: SqlSketchLog, samples: FakeSampleLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples.add(sample(0))
    with monkeypatch.context() as patched:
        patched.setattr(SqlSketchLog, "_remember", lambda *_: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            sketches.take_in(samples, now=NOON)
    assert counted(sketches) == {}
    assert sketches.take_in(samples, now=NOON).num_samples == 1
    assert counted(sketches)["brightness"] == 1


def test_a_process_that_is_restarted_goes_on_where_it_stopped(url: str, samples: FakeSampleLog) -> None:
    for number in range(3):
        samples.add(sample(number))
        log = SqlSketchLog(url)
        assert log.take_in(samples, now=NOON).num_samples == 1
        assert counted(log)["brightness"] == number + 1
        log.close()


def test_processes_that_take_in_at_once_count_each_sample_once(
    url: str, samples: FakeSampleLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitoring.sketches.sketch_log._SAMPLES_AT_ONCE", 5)
    for number in range(60):
        samples.add(sample(number))
    logs = [SqlSketchLog(url) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        taken = list(threads.map(lambda log: log.take_in(samples, now=NOON).num_samples, logs))
    assert sum(taken) == 60
    assert counted(logs[0]) == {"brightness": 60, "count": 60, "embedding": 60}
    for log in logs:
        log.close()


def test_versions_and_sources_stay_apart(sketches: SqlSketchLog, samples: FakeSampleLog) -> None:
    samples.add(sample(0))
    samples.add(sample(1, source="camera 2"))
    samples.add(sample(2, weights_digest="w2", model_version="4", embedding=(1.0, 2.0, 3.0)))
    assert sketches.take_in(samples, now=NOON).num_of_other_width == 0
    kept = sketches.read(MIDNIGHT, FAR, features=["brightness"])
    assert [(one.bucket.model_version, one.bucket.source) for one in kept] == [
        ("3", "camera 1"),
        ("3", "camera 2"),
        ("4", "camera 1"),
    ]
    assert [one.bucket.model_version for one in sketches.read(MIDNIGHT, FAR, weights_digest="w2")] == [
        "4"
    ] * 3
    of_models = [sketches.basis_of(digest) for digest in ("w1", "w2", "w3")]
    assert [None if one is None else one.num_values for one in of_models] == [2, 3, None]


def test_the_basis_of_a_model_stays_that_of_its_first_samples(
    sketches: SqlSketchLog, samples: FakeSampleLog
) -> None:
    samples.add(sample(0))
    samples.add(sample(1))
    sketches.take_in(samples, now=NOON)
    before = sketches.basis_of("w1")
    samples.add(sample(90))
    samples.add(sample(91, embedding=(1.0, 2.0, 3.0)))
    assert sketches.take_in(samples, now=NOON).num_of_other_width == 1
    after = sketches.basis_of("w1")
    assert before is not None
    assert after is not None
    assert (before.frequencies == after.frequencies).all()
    (one,) = sketches.read(MIDNIGHT, FAR, features=["embedding"])
    assert isinstance(one.sketch, FourierSum)
    assert (one.sketch.num_values, one.sketch.num_missing) == (3, 1)


def test_old_hours_become_days_and_what_arrives_for_them_later_still_counts_once(
    sketches: SqlSketchLog, samples: FakeSampleLog
) -> None:
    for number in range(48):
        samples.add(sample(number, at=MIDNIGHT + timedelta(hours=number)))
    sketches.take_in(samples, now=FAR)
    now = MIDNIGHT + timedelta(days=15, hours=5)
    assert sketches.merge_old_hours(now) == 24 * 3
    assert sketches.merge_old_hours(now) == 0
    kept = sketches.read(MIDNIGHT, FAR, features=["brightness"])
    assert [one.bucket.length_s for one in kept] == [DAY_S] + [HOUR_S] * 24
    assert kept[0].sketch.num_values == 24
    samples.add(sample(99, at=MIDNIGHT + timedelta(hours=3)))
    sketches.take_in(samples, now=FAR)
    assert sketches.merge_old_hours(now) == 3
    first, second = draw_timeline(sketches.read(MIDNIGHT, FAR, features=["brightness"]), "day")
    assert (first.num_values, second.num_values) == (25, 24)
    assert first.largest == pytest.approx(0.99)


def test_a_log_that_was_begun_anew_or_restored_is_said_and_nothing_counts_twice(
    sketches: SqlSketchLog, samples: FakeSampleLog
) -> None:
    for number in range(5):
        samples.add(sample(number))
    sketches.take_in(samples, now=NOON)
    restored = FakeSampleLog()
    for number in range(3):
        restored.add(sample(number))
    assert sketches.take_in(restored, now=NOON) == TakenIn(is_log_replaced=True)
    assert sketches.take_in(restored, now=NOON) == TakenIn()
    restored.add(sample(7))
    assert sketches.take_in(restored, now=NOON).num_samples == 1
    assert counted(sketches)["brightness"] == 6


def test_an_empty_log_is_not_taken_for_a_new_one(sketches: SqlSketchLog, samples: FakeSampleLog) -> None:
    samples.add(sample(0))
    sketches.take_in(samples, now=NOON)
    samples.prune(FAR)
    assert sketches.take_in(samples, now=FAR) == TakenIn()


def test_samples_that_are_forgotten_stay_in_the_sketches(
    sketches: SqlSketchLog, samples: FakeSampleLog
) -> None:
    samples.add(sample(0))
    sketches.take_in(samples, now=NOON)
    assert samples.prune(FAR).samples == 1
    assert counted(sketches)["brightness"] == 1


def test_a_damaged_sketch_is_named(sketches: SqlSketchLog, samples: FakeSampleLog, url: str) -> None:
    samples.add(sample(0))
    sketches.take_in(samples, now=NOON)
    database = Database(url, STORE)
    with database.writing() as connection:
        connection.execute(text("UPDATE sketches SET sketch = :cut"), {"cut": b"\x01\x02"})
    database.close()
    with pytest.raises(IntegrityError, match="cannot be read"):
        sketches.read(MIDNIGHT, FAR)


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "sketches.db").write_bytes(b"this is not a database" * 100)
    with pytest.raises(StorageError, match="the sketches of samples"):
        SqlSketchLog.at(tmp_path / "sketches.db")


# --- the sample log's side ----------------------------------------------------------------------


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def make_log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], SampleLog]]:
    opened: list[SqlSampleLog] = []
    address = request.getfixturevalue("postgresql_url") if request.param == "postgresql" else ""

    def make() -> SampleLog:
        if request.param == "fake":
            return FakeSampleLog()
        opened.append(SqlSampleLog(tmp_path / "samples", url=address))
        return opened[-1]

    yield make
    for log in opened:
        log.close()


def ids(arrivals: Sequence[Arrival]) -> list[str]:
    return [one.sample.sample_id for one in arrivals]


def test_arrivals_come_in_their_order_from_a_position_on(make_log: Callable[[], SampleLog]) -> None:
    log = make_log()
    assert (log.arrivals(0, 10), log.last_position()) == ((), 0)
    for number, hour in enumerate((3, 1, 2)):
        log.add(sample(number, at=NOON + timedelta(hours=hour)), skip_reason="late" if number else "")
    first, second = log.arrivals(0, 2)
    assert first.sample == sample(0, at=NOON + timedelta(hours=3))
    assert (first.skip_reason, second.skip_reason) == ("", "late")
    assert ids(log.arrivals(second.position, 10)) == ["s2"]
    assert log.last_position() == log.arrivals(second.position, 10)[0].position
    assert log.arrivals(log.last_position(), 10) == ()


def test_a_position_is_never_used_twice(make_log: Callable[[], SampleLog]) -> None:
    log = make_log()
    log.add(sample(0))
    last = log.last_position()
    log.prune(FAR)
    assert log.last_position() == 0
    log.add(sample(1, at=FAR))
    assert log.last_position() > last
