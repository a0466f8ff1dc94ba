"""Answers become samples beside the requests: measured, written, counted; none is lost in silence."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskloop.errors import StorageError
from maskloop.settings.workspace_settings import SamplingSettings
from monitoring.drift.novelty import Novelty
from monitoring.samples.sample_log import Sample, SqlSampleLog
from serving.answers import Answer, RequestPicture
from serving.sampling.quota_book import QuotaBook, Worker
from serving.sampling.quotas import spread
from serving.sampling.sampler import Sampler
from tests.fakes.ledger import FakeClock
from tests.fakes.quota_book import FakeQuotaBook
from tests.fakes.sample_log import FakeSampleLog
from tests.fakes.serving_world import RememberingObserver, make_model, make_picture


def answer_to(picture: RequestPicture, *, strange: bool = False, **options: Any) -> Answer:
    model = make_model(**options)
    prediction = model.predictor.predict([picture.pixels])[0]
    return Answer(model, prediction, Novelty(0.99, strange))


class Held(FakeSampleLog):
    """A log on a disk that hangs until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.let_go = threading.Event(), threading.Event()

    def add(self, sample: Sample, *arguments: Any, **more: Any) -> bool:
        self.reached.set()
        assert self.let_go.wait(20)
        return super().add(sample, *arguments, **more)


class Pruned(FakeSampleLog):
    """A log that tells when it was first pruned, which a sampler does once it has looked at the quotas."""

    def __init__(self) -> None:
        super().__init__()
        self.was_pruned = threading.Event()

    def prune(self, *arguments: Any) -> Any:
        self.was_pruned.set()
        return super().prune(*arguments)


class ComputingModel:
    """Computes when told to, and knows when it was asked."""

    def __init__(self) -> None:
        self.computes, self.asked = False, threading.Semaphore(0)

    def is_computing(self) -> bool:
        self.asked.release()
        return self.computes


class Bench:
    """A sampler over a fake log."""

    def __init__(
        self, log: Any = None, *, open_book: Callable[[], QuotaBook] | None = None, **settings: Any
    ) -> None:
        self.log: Any = log if log is not None else FakeSampleLog()
        self.observer, self.clock, self.model = RememberingObserver(), FakeClock(), ComputingModel()
        self.sampler = Sampler(
            self.log,
            SamplingSettings(**settings),
            self.observer,
            self.clock,
            is_computing=self.model.is_computing,
            open_book=open_book,
        )

    def offer(self, request_id: str = "r1", *, strange: bool = False, **options: Any) -> None:
        picture = make_picture(request_id)
        self.sampler.offer(picture, answer_to(picture, strange=strange, **options), source="camera 1")

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(facts["outcome"] for facts in self.observer.of("sampled"))

    def close(self) -> None:
        self.sampler.close(20)


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(*arguments: Any, **settings: Any) -> Bench:
        made.append(Bench(*arguments, **settings))
        return made[-1]

    yield make
    for one in made:
        if isinstance(one.log, Held):
            one.log.let_go.set()
        one.close()


MakeBench = Callable[..., Bench]


def test_an_answer_becomes_a_sample_under_its_requests_id(bench: MakeBench) -> None:
    world = bench()
    world.offer("r1")
    world.close()
    sample = world.log.get("r1")
    assert (sample.model_version, sample.weights_digest, sample.source) == ("1", "1" * 64, "camera 1")
    assert sample.received_at == world.clock.now()
    assert sample.class_counts == {"bolt": 1, "nut": 0}
    assert sample.top_scores == (pytest.approx(0.9),)
    assert sample.features["count"] == 1
    assert 0 < sample.features["brightness"] < 1
    assert len(sample.embedding) == 4
    assert world.log.picture_bytes(sample) == b"bytes of r1"
    assert world.outcomes == {"kept": 1}
    counts = world.log.counts()
    assert (counts.received, counts.pending) == (1, 1)


def test_a_request_sent_twice_is_one_sample(bench: MakeBench) -> None:
    world = bench()
    world.offer("r1")
    world.offer("r1")
    world.close()
    assert world.log.counts().received == 1
    assert world.outcomes == {"kept": 1, "repeated": 1}


def test_a_request_sent_twice_takes_from_the_quota_once(bench: MakeBench) -> None:
    world = bench(max_per_minute=10)  # seven by chance
    for number in range(6):
        world.offer(f"r{number}")
        world.offer(f"r{number}")
    world.offer("r6")
    world.close()
    assert world.outcomes == {"kept": 7, "repeated": 6}


def test_an_answer_can_be_judged_as_soon_as_it_is_there(bench: MakeBench) -> None:
    world = bench()
    for number in range(20):
        world.offer(f"r{number}")
        world.sampler.wait_until_written(f"r{number}")
        assert world.log.get(f"r{number}") is not None


def test_nobody_waits_for_an_answer_that_is_no_sample(bench: MakeBench) -> None:
    log = Held()
    world = bench(log)
    world.offer("r1")
    world.sampler.wait_until_written("r2")
    world.sampler.wait_until_written("r1", timeout_s=0)
    assert log.get("r1") is None


def test_a_sideways_picture_is_remembered_in_the_size_of_its_file(bench: MakeBench) -> None:
    world = bench()
    picture = replace(make_picture(), pixels=np.zeros((10, 20, 3), np.uint8), orientation=6)
    world.sampler.offer(picture, answer_to(picture))
    world.close()
    sample = world.log.get("r1")
    assert (sample.width_px, sample.height_px, sample.orientation) == (10, 20, 6)


def test_a_failure_is_left_out_with_its_reason_and_its_picture_is_not_kept(bench: MakeBench) -> None:
    world = bench()
    for number, size in (("1", "123 x 456"), ("2", "9 x 8.5")):
        error = f"the picture has {size} px, too many: 0x7fab in a buffer"
        world.sampler.offer(make_picture(number), None, error=error)
    world.close()
    counts = world.log.counts()
    assert (counts.received, counts.skipped, counts.pending) == (2, 2, 0)
    assert counts.skipped_by_reason == {"the picture has # x # px, too many": 2}
    assert world.log.picture_bytes(world.log.newest(1)[0]) is None
    assert world.outcomes == {"kept_failed": 2}


def test_a_request_that_failed_and_was_sent_again_is_an_answer_after_all(bench: MakeBench) -> None:
    world = bench()
    world.sampler.offer(make_picture("r1"), None, error="overloaded")
    world.offer("r1")
    world.close()
    assert world.log.get("r1").class_counts["bolt"] == 1
    assert world.outcomes == {"kept_failed": 1, "kept": 1}


def test_what_only_a_rule_kept_is_there_but_not_judged_for_drift(bench: MakeBench) -> None:
    world = bench(rate=0.0)
    world.offer("sure")
    world.offer("strange", strange=True)
    world.offer("doubtful", score=0.3)
    world.close()
    assert world.outcomes == {"not_chosen": 1, "kept_strange": 1, "kept_doubtful": 1}
    assert world.log.get("sure") is None
    assert world.log.picture_bytes(world.log.get("doubtful")) == b"bytes of doubtful"
    assert world.log.newest(10, pending_only=True) == ()
    assert set(world.log.counts().skipped_by_reason) == {
        "kept because it is strange, not by chance",
        "kept because it is doubtful, not by chance",
    }


def test_an_answer_refused_as_out_of_distribution_is_a_sample_for_drift(bench: MakeBench) -> None:
    world = bench()
    picture = make_picture()
    world.sampler.offer(picture, answer_to(picture, strange=True), error="unlike everything")
    world.close()
    assert [sample.sample_id for sample in world.log.newest(10, pending_only=True)] == ["r1"]


def test_where_pictures_may_not_be_kept_no_byte_of_one_reaches_the_disk(tmp_path: Path) -> None:
    log = SqlSampleLog(tmp_path)
    world = Bench(log, keep_pictures=False)
    world.offer("r1")
    world.close()
    sample = log.get("r1")
    assert sample is not None
    assert sample.picture_file is None
    assert sample.features["count"] == 1
    log.close()
    assert not any(b"bytes of r1" in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def test_offers_never_wait_for_the_disk_and_samples_beyond_the_limit_are_dropped_and_counted(
    bench: MakeBench,
) -> None:
    log = Held()
    world = bench(log, max_waiting=3)
    world.offer("0")
    assert log.reached.wait(20)
    for number in range(1, 6):
        world.offer(str(number))
    assert world.outcomes == {"dropped": 3}
    assert world.observer.of("lag")[-1]["waiting"] == 3
    log.let_go.set()
    world.close()
    assert world.outcomes == {"dropped": 3, "kept": 3}
    assert log.counts().received == 3
    assert world.observer.of("lag")[-1] == {"waiting": 0, "oldest_s": 0.0}


def test_large_pictures_are_dropped_before_they_fill_the_memory(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.sampling.sampler._MAX_WAITING_BYTES", 2000)  # a picture here has 768 bytes
    log = Held()
    world = bench(log)
    for number in range(4):
        world.offer(str(number))
    assert world.outcomes == {"dropped": 2}


def test_the_lag_grows_while_the_disk_hangs(bench: MakeBench) -> None:
    log = Held()
    world = bench(log)
    world.offer("0")
    world.offer("1")
    first, second = (facts["oldest_s"] for facts in world.observer.of("lag")[:2])
    assert 0 <= first <= second


def test_what_cannot_be_written_is_counted_said_once_and_stops_nothing(
    bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    tried = threading.Semaphore(0)

    class Full(FakeSampleLog):
        is_full = True

        def add(self, *arguments: Any, **more: Any) -> bool:
            if self.is_full:
                tried.release()
                raise StorageError("the disk is full")
            return super().add(*arguments, **more)

    log = Full()
    world = bench(log)
    for number in range(3):
        world.offer(str(number))
    assert all(tried.acquire(timeout=20) for _ in range(3))
    log.is_full = False
    world.offer("after")
    world.close()
    assert world.outcomes == {"unwritten": 3, "kept": 1}
    assert caplog.text.count("the disk is full") == 1


def test_an_answer_that_cannot_be_read_harms_no_request(bench: MakeBench) -> None:
    world = bench()
    picture = make_picture()
    broken = replace(answer_to(picture), prediction=None)  # type: ignore[arg-type]
    world.sampler.offer(picture, broken)
    world.offer("after")
    world.close()
    assert world.outcomes == {"unwritten": 1, "kept": 1}


def test_closing_writes_what_waits_and_accepts_nothing_more(bench: MakeBench) -> None:
    world = bench()
    for number in range(20):
        world.offer(str(number))
    world.close()
    assert world.log.counts().received == 20
    world.offer("late")
    world.close()
    assert world.outcomes == {"kept": 20, "dropped": 1}


def test_a_disk_that_hangs_does_not_delay_the_shutdown(bench: MakeBench) -> None:
    log = Held()
    world = bench(log)
    for number in range(3):
        world.offer(str(number))
    assert log.reached.wait(20)
    world.sampler.close(0.01)
    assert world.outcomes == {"dropped": 2}
    log.let_go.set()
    world.close()
    assert world.outcomes == {"dropped": 2, "kept": 1}


def test_quotas_follow_the_clock(bench: MakeBench) -> None:
    world = bench(max_per_minute=10)
    for number in range(10):
        world.offer(f"a{number}")
    world.clock.advance(seconds=61)
    for number in range(10):
        world.offer(f"b{number}")
    world.close()
    assert world.outcomes == {"kept": 14, "over_quota": 6}


def test_a_restarted_service_goes_on_with_the_days_quota(bench: MakeBench) -> None:
    book = FakeQuotaBook()
    first = bench(open_book=lambda: book, max_per_minute=1000, max_per_day=100)
    for number in range(200):
        first.offer(f"a{number}")
    first.close()
    kept = first.outcomes["kept"]
    assert kept == spread(70, 9 * 60, 24 * 60)
    second = bench(Pruned(), open_book=lambda: book, max_per_minute=1000, max_per_day=100)
    assert second.log.was_pruned.wait(20)
    for number in range(200):
        second.offer(f"b{number}")
    second.close()
    assert second.outcomes == {"over_quota": 200}


def test_a_quota_book_that_fails_costs_no_answer_and_no_sample(
    bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> QuotaBook:
        raise StorageError("the disk is full")

    world = bench(open_book=fail)
    world.offer("r1")
    world.close()
    assert world.outcomes == {"kept": 1}
    assert [record.message for record in caplog.records] == ["the quotas of samples: the disk is full"]


def test_clocks_that_differ_are_said_once(bench: MakeBench, caplog: pytest.LogCaptureFixture) -> None:
    book = FakeQuotaBook()
    ahead = FakeClock().now() + timedelta(hours=2)
    book.exchange(Worker("other", ahead), 0)
    world = bench(open_book=lambda: book)
    world.close()
    (record,) = caplog.records
    assert "clocks that are ahead by up to 7200 s" in record.message


def test_old_samples_are_forgotten_by_the_service_itself(bench: MakeBench) -> None:
    log, clock = FakeSampleLog(retention_days=90), FakeClock()
    old = Sample("old", clock.now() - timedelta(days=91), "1", "w", "d", "s", {})
    log.add(old)
    world = bench(log)
    world.offer("new")
    world.close()
    assert [sample.sample_id for sample in log.newest(10)] == ["new"]


@pytest.mark.parametrize("settings", [{}, {"max_per_minute": 100}, {"rate": 0.3}, {"max_waiting": 4}])
def test_threads_that_offer_at_once_end_with_exact_counts(tmp_path: Path, settings: dict[str, Any]) -> None:
    num_threads, num_each = 8, 40
    log = SqlSampleLog(tmp_path)
    world = Bench(log, **{"max_per_minute": 10_000, "max_waiting": 10_000, **settings})
    together = threading.Barrier(num_threads)

    def offer(thread: int) -> None:
        together.wait()
        for number in range(num_each):
            world.offer(f"{thread}-{number}")

    threads = [threading.Thread(target=offer, args=(number,)) for number in range(num_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    world.close()
    outcomes, counts = world.outcomes, log.counts()
    assert outcomes.total() == num_threads * num_each
    assert counts.received == counts.pending == outcomes["kept"] == len(log.newest(1000))
    assert set(outcomes) <= {"kept", "dropped", "over_quota", "not_chosen"}
    if "max_per_minute" in settings:
        assert outcomes["kept"] == 70
    if not settings:
        assert outcomes["kept"] == num_threads * num_each
    log.close()
