"""What every correction log guarantees, on the fake and on the real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from maskloop.masks import Rle, encode_masks
from monitoring.samples.correction_log import SqlCorrectionLog
from monitoring.samples.corrections import Correction, CorrectionLog, Judged, Label
from tests.fakes.correction_log import FakeCorrectionLog

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MakeLog = Callable[[int], CorrectionLog]


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def make_log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeLog]:
    opened: list[SqlCorrectionLog] = []
    url = request.getfixturevalue("postgresql_url") if request.param == "postgresql" else ""

    def make(keep_pictures: int) -> CorrectionLog:
        if request.param == "fake":
            return FakeCorrectionLog(keep_pictures=keep_pictures, retention_days=90)
        opened.append(
            SqlCorrectionLog(tmp_path / "samples", url=url, keep_pictures=keep_pictures, retention_days=90)
        )
        return opened[-1]

    yield make
    for log in opened:
        log.close()


@pytest.fixture
def log(make_log: MakeLog) -> CorrectionLog:
    return make_log(100)


def mask(column: int) -> Rle:
    pixels = np.zeros((1, 6, 8), dtype=bool)
    pixels[0, 1:4, column : column + 2] = True
    return encode_masks(pixels)[0]


def correction(name: str, column: int = 1, *, at: datetime = NOON) -> Correction:
    instances = (("bolt", mask(column)), ("nut", mask(column + 2)))
    return Correction(name, at, "rita", "wrong", instances, "a nut as well", "3", "belt", (6, 8))


def ids(corrections: object) -> list[str]:
    return [one.request_id for one in corrections]  # type: ignore[attr-defined]


def test_a_correction_comes_back_as_it_was_said(log: CorrectionLog) -> None:
    for said in (
        correction("a"),
        replace(correction("b"), instances=()),
        replace(correction("c"), instances=None, verdict="right", note="", model_version=""),
    ):
        assert log.add(said)
        assert log.get([said.request_id, "nobody"]) == {said.request_id: said}


def test_the_last_that_was_said_counts_whatever_the_clock_says(log: CorrectionLog) -> None:
    log.add(correction("a", at=NOON))
    log.add(correction("b", at=NOON))
    log.add(correction("a", column=2, at=NOON - timedelta(hours=1)))
    assert log.get(["a"])["a"].instances == correction("a", column=2).instances
    assert ids(log.newest(10)) == ["a", "b"]
    assert ids(log.newest(1)) == ["a"]


def test_saying_the_same_again_changes_nothing(log: CorrectionLog) -> None:
    log.add(correction("a"), b"picture")
    log.mark_ingested([correction("a")], "data-v2")
    assert not log.add(replace(correction("a"), by="anna", at=NOON + timedelta(hours=1)), b"picture")
    assert log.get(["a"])["a"].by == "rita"
    assert log.labels(["a"]) == {"a": Label("ingested", "data-v2")}


def test_its_number_grows_with_every_correction_that_arrives(log: CorrectionLog) -> None:
    numbers = [log.newest_sequence()]
    for said in (correction("a"), correction("b"), correction("a", column=2)):
        log.add(said)
        numbers.append(log.newest_sequence())
    assert numbers[0] == 0
    assert numbers == sorted(set(numbers))
    log.add(correction("a", column=2))
    log.mark_ingested([correction("b")], "data-v1")
    assert log.newest_sequence() == numbers[-1]


def test_what_has_instances_and_a_picture_waits_in_the_order_of_arrival(log: CorrectionLog) -> None:
    log.add(correction("a"), b"picture a")
    log.add(correction("no picture"))
    log.add(replace(correction("not said"), instances=None), b"picture")
    log.add(replace(correction("nothing there"), instances=()), b"picture b")
    assert ids(log.waiting(10)) == ["a", "nothing there"]
    assert ids(log.waiting(1)) == ["a"]
    assert log.num_waiting() == 2
    assert log.labels(["a", "no picture"]) == {"a": Label("waiting"), "no picture": Label("none")}
    assert log.picture_bytes("a") == b"picture a"
    assert log.picture_bytes("no picture") is None


def test_a_second_thought_waits_again_with_the_picture_of_the_first(log: CorrectionLog) -> None:
    log.add(correction("a"), b"picture")
    log.mark_ingested([correction("a")], "data-v2")
    assert log.num_waiting() == 0
    log.add(correction("a", column=2))
    assert ids(log.waiting(10)) == ["a"]
    assert log.picture_bytes("a") == b"picture"


def test_what_was_replaced_in_the_meantime_waits_on(log: CorrectionLog) -> None:
    log.add(correction("a"), b"picture")
    (read,) = log.waiting(10)
    log.add(correction("a", column=2))
    log.mark_ingested([read], "data-v2")
    log.mark_refused([read], "no")
    assert log.labels(["a"]) == {"a": Label("waiting")}


def test_a_refused_one_says_why_and_waits_again_only_when_asked(log: CorrectionLog) -> None:
    log.add(correction("a"), b"picture")
    log.add(correction("b"), b"picture")
    log.mark_refused([correction("a")], "the mask covers no pixel")
    assert log.labels(["a"]) == {"a": Label("refused", "the mask covers no pixel")}
    assert ids(log.waiting(10)) == ["b"]
    assert log.wait_again() == 1
    assert log.wait_again() == 0
    assert ids(log.waiting(10)) == ["a", "b"]


def test_pictures_over_the_quota_go_and_what_waited_with_them_says_so(make_log: MakeLog) -> None:
    log = make_log(2)
    for name in "abc":
        log.add(correction(name), name.encode())
    assert ids(log.waiting(10)) == ["b", "c"]
    assert log.labels(["a"])["a"].fate == "none"
    assert "let go" in log.labels(["a"])["a"].detail
    assert (log.picture_bytes("a"), log.picture_bytes("c")) == (None, b"c")
    assert log.get(["a"])["a"] == correction("a")


def test_a_quota_of_zero_keeps_no_picture(make_log: MakeLog) -> None:
    log = make_log(0)
    log.add(correction("a"), b"picture")
    assert log.picture_bytes("a") is None
    assert log.num_waiting() == 0


def test_what_people_say_is_counted_by_version_each_answer_once(log: CorrectionLog) -> None:
    for name, version, verdict in (("a", "1", "wrong"), ("b", "1", "right"), ("c", "2", "wrong")):
        log.add(replace(correction(name), model_version=version, verdict=verdict))  # type: ignore[arg-type]
    log.add(replace(correction("b"), model_version="1", verdict="wrong"))
    log.add(replace(correction("d"), model_version="1", verdict="right"))
    assert log.judged() == (Judged("1", num_right=1, num_wrong=2), Judged("2", num_right=0, num_wrong=1))
    assert [round(one.wrong_percent) for one in log.judged()] == [67, 100]


def test_what_is_older_than_the_retention_is_forgotten(log: CorrectionLog) -> None:
    log.add(correction("old", at=NOON - timedelta(days=91)), b"picture")
    log.add(correction("young", at=NOON - timedelta(days=89)), b"picture")
    assert log.prune(NOON) == 1
    assert ids(log.newest(10)) == ["young"]
    assert log.labels(["old"]) == {}
    assert log.picture_bytes("old") is None
    assert log.prune(NOON) == 0
