"""From two answers to numbers, and into the log without anybody waiting."""

from __future__ import annotations

import logging
import threading
import weakref
from dataclasses import replace
from typing import Any

import pytest

from maskloop.errors import UnavailableError
from serving.answers import Attempt, PairedAnswer
from serving.rollout.comparing import PairRecorder, compare
from serving.rollout.pairs import KeptPair
from tests.fakes.pair_log import FakePairLog
from tests.fakes.serving_world import RememberingObserver, make_answer, make_picture


def attempt(version: str, **options: Any) -> Attempt:
    return Attempt(version * 64, make_answer(version, **options), seconds=0.01)


def make_pair(request_id: str = "r1", *, challenger: Attempt | None = None) -> PairedAnswer:
    other = challenger or attempt("2", role="challenger", score=0.7)
    return PairedAnswer("cycle-2", make_picture(request_id), "champion", attempt("1"), other, 0.04)


def test_a_pair_becomes_numbers() -> None:
    kept = compare(make_pair())
    found = kept.comparison
    assert (found.cycle_id, found.request_id, found.answered_by) == ("cycle-2", "r1", "champion")
    assert (found.agreement, found.count_shift, found.flip_share) == (1.0, 0.0, 0.0)
    assert found.score_shift == pytest.approx(-0.2, abs=1e-6)
    assert (found.champion_s, found.latency_s) == (0.01, 0.04)
    assert found.both_answered
    assert found.difference == 0.0
    assert kept.picture == b"bytes of r1"


def test_classes_are_compared_by_name_whatever_order_a_model_has_them_in() -> None:
    swapped = attempt("2", role="challenger", class_index=1, class_names=("nut", "bolt"))
    kept = compare(make_pair(challenger=swapped))
    assert kept.comparison.agreement == 1.0
    renamed = compare(make_pair(challenger=attempt("2", role="challenger", class_index=1)))
    assert (renamed.comparison.agreement, renamed.comparison.flip_share) == (0.0, 1.0)


def test_a_class_only_the_challenger_knows_agrees_with_nothing() -> None:
    new = attempt("2", role="challenger", class_index=0, class_names=("gear", "bolt", "nut"))
    kept = compare(make_pair(challenger=new))
    assert kept.class_names == ("bolt", "nut", "gear")
    assert kept.comparison.flip_share == 1.0
    assert kept.challenger is not None
    assert kept.challenger.class_indices.tolist() == [2]


def test_a_side_that_failed_is_told_apart() -> None:
    failed = compare(make_pair(challenger=Attempt("2" * 64, None, "it computes NaN")))
    assert failed.comparison.challenger_error == "it computes NaN"
    assert failed.comparison.difference == 2.0
    assert failed.challenger is None
    champion_failed = replace(failed.comparison, champion_error="late", challenger_error="")
    assert champion_failed.difference == 0.0


def test_where_no_picture_may_be_kept_none_is() -> None:
    assert compare(make_pair(), keep_picture=False).picture is None


def test_what_was_taken_is_written_before_it_closes() -> None:
    log = FakePairLog()
    recorder = PairRecorder(log, RememberingObserver())
    for number in range(20):
        recorder.take(make_pair(f"r{number}"))
    recorder.close()
    assert [one.request_id for one in log.comparisons("cycle-2")] == [f"r{number}" for number in range(20)]


def test_pairs_beyond_the_limit_are_counted_and_delay_nobody() -> None:
    opened = threading.Event()

    class Slow(FakePairLog):
        def add(self, pair: KeptPair) -> bool:
            assert opened.wait(20)
            return super().add(pair)

    log, observer = Slow(), RememberingObserver()
    recorder = PairRecorder(log, observer)
    for number in range(300):
        recorder.take(make_pair(f"r{number}"))
    opened.set()
    recorder.close()
    dropped = len(observer.of("mirrored"))
    assert dropped >= 300 - 257
    assert len(log.pairs) + dropped == 300


def test_an_outage_of_the_sample_log_is_reported_once_and_loses_only_the_samples_of_that_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Away(FakePairLog):
        num_failures = 3

        def add(self, pair: KeptPair) -> bool:
            if self.num_failures:
                self.num_failures -= 1
                raise UnavailableError("the pair log does not answer")
            return super().add(pair)

    log, observer = Away(), RememberingObserver()
    recorder = PairRecorder(log, observer)
    with caplog.at_level(logging.ERROR):
        for number in range(5):
            recorder.take(make_pair(f"r{number}"))
        recorder.close()
    assert [one.request_id for one in log.comparisons("cycle-2")] == ["r3", "r4"]
    assert [facts["outcome"] for facts in observer.of("mirrored")] == ["dropped"] * 3
    assert len(caplog.records) == 1


def test_a_challenger_can_leave_memory_once_its_last_pair_is_written() -> None:
    log, left = FakePairLog(), threading.Event()
    recorder = PairRecorder(log, RememberingObserver())
    try:
        pair = make_pair()
        assert pair.challenger.answer is not None
        weakref.finalize(pair.challenger.answer.model.predictor, left.set)
        recorder.take(pair)
        del pair
        assert left.wait(20)
        assert log.comparisons("cycle-2")
    finally:
        recorder.close()
