"""Samples are spread over the day: a busy service is sampled until midnight, a quiet one loses nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskloop.settings.workspace_settings import SamplingSettings
from serving.sampling.quota_book import Worker
from serving.sampling.quotas import DAY_S, Candidate, Pool, Taken, decide, limit_of, spread
from tests.fakes.quota_book import FakeQuotaBook

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
USUAL = SamplingSettings()
SMALL = SamplingSettings(max_per_minute=12, max_per_hour=200, max_per_day=2000)
BY_CHANCE_A_DAY = 1400
"""What chance may take of `SMALL`'s day: seven tenths."""


class Replica:
    """One process that samples, with the clock and the book of the service."""

    def __init__(self, book: FakeQuotaBook, name: str, sampling: SamplingSettings = SMALL) -> None:
        self.book, self.name, self.sampling = book, name, sampling
        self.taken, self.pool = Taken(), Pool()
        self.lag = timedelta()

    def look(self, now: datetime) -> None:
        day = self.taken.at((now + self.lag).timestamp()).day
        self.pool = self.book.exchange(Worker(self.name, now + self.lag, day.counts), day.number)

    def offer(self, request: str, now: datetime) -> bool:
        self.taken = self.taken.at((now + self.lag).timestamp())
        decision = decide(Candidate(request), self.taken, self.sampling, self.pool)
        if decision.budget:
            self.taken = self.taken.plus(decision.budget, ())
        return decision.budget is not None


def live(
    replicas: Sequence[Replica], per_minute: Callable[[int], Sequence[int]], *, minutes: Sequence[int]
) -> Counter[int]:
    """Let requests come to each replica minute by minute; return how many were kept in each hour."""
    kept: Counter[int] = Counter()
    for minute in minutes:
        now = MIDNIGHT + timedelta(minutes=minute)
        for replica in replicas:
            replica.look(now)
        for replica, number in zip(replicas, per_minute(minute), strict=True):
            for one in range(number):
                kept[minute // 60] += replica.offer(f"{replica.name}-{minute}-{one}", now)
    return kept


WHOLE_DAY = range(24 * 60)


def test_a_busy_day_is_sampled_in_every_hour_and_its_quota_is_used_up() -> None:
    kept = live([Replica(FakeQuotaBook(), "a")], lambda _: [20], minutes=WHOLE_DAY)
    assert kept.total() == BY_CHANCE_A_DAY
    even = BY_CHANCE_A_DAY / 24
    assert all(kept[hour] >= 0.9 * even - 1 for hour in range(24))
    assert kept[0] <= 0.1 * BY_CHANCE_A_DAY + 0.9 * even + 1
    assert all(kept[hour] <= 0.9 * even + 1 for hour in range(3, 24))


def test_an_hour_is_sampled_in_all_its_minutes() -> None:
    replica = Replica(FakeQuotaBook(), "a")
    live([replica], lambda _: [20], minutes=range(5 * 60))
    kept = [live([replica], lambda _: [20], minutes=[5 * 60 + minute]).total() for minute in range(60)]
    assert set(kept) == {0, 1}  # 0.875 a minute
    assert sum(kept) == pytest.approx(52.5, abs=1)


@pytest.mark.parametrize("per_day", [1000, 1400])
def test_an_evenly_quiet_day_keeps_everything(per_day: int) -> None:
    def come(minute: int) -> list[int]:
        return [per_day * (minute + 1) // 1440 - per_day * minute // 1440]

    assert live([Replica(FakeQuotaBook(), "a")], come, minutes=WHOLE_DAY).total() == per_day


def test_a_quiet_service_keeps_its_first_requests_of_the_day_whenever_they_come() -> None:
    for first in (0, 3, 600):
        replica = Replica(FakeQuotaBook(), "a", USUAL)
        kept = live([replica], lambda _: [60], minutes=range(first, first + 20))
        assert kept.total() == 20 * 60


def test_what_the_night_did_not_use_serves_the_day() -> None:
    def come(minute: int) -> list[int]:
        return [2 if 8 * 60 <= minute < 15 * 60 else 0]

    assert live([Replica(FakeQuotaBook(), "a")], come, minutes=WHOLE_DAY).total() == 840


def test_a_burst_does_not_use_up_the_evening() -> None:
    def come(minute: int) -> list[int]:
        return [500 if 9 * 60 <= minute < 14 * 60 else 20]

    kept = live([Replica(FakeQuotaBook(), "a")], come, minutes=WHOLE_DAY)
    assert all(kept[hour] >= 0.9 * BY_CHANCE_A_DAY / 24 - 1 for hour in range(24))
    assert kept.total() == BY_CHANCE_A_DAY


def test_where_the_quota_of_the_hour_is_the_smaller_one_it_is_spread_too() -> None:
    sampling = SamplingSettings(max_per_minute=100, max_per_hour=100, max_per_day=20_000)
    replica = Replica(FakeQuotaBook(), "a", sampling)
    live([replica], lambda _: [20], minutes=range(6 * 60))
    kept = [live([replica], lambda _: [20], minutes=[6 * 60 + minute]).total() for minute in range(60)]
    assert kept[0] <= 0.1 * 70 + 2  # a tenth at once, and then 1.05 a minute
    assert max(kept[1:]) <= 2
    assert sum(kept) == 70


def test_midnight_begins_a_new_day() -> None:
    replica = Replica(FakeQuotaBook(), "a")
    live([replica], lambda _: [20], minutes=WHOLE_DAY)
    assert live([replica], lambda _: [20], minutes=[1440]).total() == 9  # the minute's quota is the smallest


# --- several processes --------------------------------------------------------------------------


@pytest.mark.parametrize("shares", [(20, 20), (20, 20, 20, 20, 20), (40, 1)])
def test_replicas_together_keep_what_one_would(shares: tuple[int, ...]) -> None:
    book = FakeQuotaBook()
    replicas = [Replica(book, str(number)) for number in range(len(shares))]
    kept = live(replicas, lambda _: shares, minutes=WHOLE_DAY)
    assert kept.total() <= BY_CHANCE_A_DAY
    assert kept.total() >= BY_CHANCE_A_DAY - len(shares)
    even = BY_CHANCE_A_DAY / 24
    assert all(kept[hour] >= 0.9 * even - len(shares) for hour in range(24))


def test_replicas_that_are_equally_busy_take_equal_parts() -> None:
    book = FakeQuotaBook()
    replicas = [Replica(book, str(number)) for number in range(3)]
    live(replicas, lambda _: [20] * 3, minutes=WHOLE_DAY)
    parts = [replica.taken.day.counts["chance"] for replica in replicas]
    assert sum(parts) <= BY_CHANCE_A_DAY
    assert min(parts) >= 0.8 * BY_CHANCE_A_DAY / 3


@pytest.mark.parametrize(("is_killed", "beyond"), [(False, 0), (True, 24)])
def test_a_restarted_process_does_not_begin_the_days_quota_anew(is_killed: bool, beyond: int) -> None:
    """What a killed one took since its last look, of at most a minute, is not in the book."""
    book, kept = FakeQuotaBook(), Counter[int]()
    for hour in range(24):  # restarted every hour
        replica = Replica(book, f"run {hour}")
        kept += live([replica], lambda _: [20], minutes=range(60 * hour, 60 * hour + 60))
        if not is_killed:
            replica.look(MIDNIGHT + timedelta(minutes=60 * hour + 59))
    assert BY_CHANCE_A_DAY - 24 <= kept.total() <= BY_CHANCE_A_DAY + beyond


def test_the_part_of_a_process_that_has_ended_goes_to_the_others() -> None:
    book = FakeQuotaBook()
    ended, lives = Replica(book, "ended"), Replica(book, "lives")
    live([ended, lives], lambda _: [20, 20], minutes=range(60))
    live([lives], lambda _: [20], minutes=range(60, 64))
    assert lives.pool.num_workers == 1
    kept = live([lives], lambda _: [20], minutes=range(64, 1440))
    assert kept.total() + 64 * 12 >= 0.9 * BY_CHANCE_A_DAY * (1440 - 64) / 1440


def test_workers_that_have_not_looked_yet_have_their_parts_kept_for_them() -> None:
    book = FakeQuotaBook(least_workers=4)
    replica = Replica(book, "first")
    replica.look(MIDNIGHT)
    assert replica.pool.num_workers == 4


def test_a_clock_that_is_ahead_is_named_and_has_no_part() -> None:
    book = FakeQuotaBook()
    right, ahead = Replica(book, "right"), Replica(book, "ahead")
    ahead.lag = timedelta(hours=3)
    live([ahead, right], lambda _: [20, 20], minutes=range(5))
    assert (right.pool.num_workers, right.pool.num_ahead) == (1, 1)
    assert right.pool.most_ahead_s == 3 * 3600
    assert ahead.pool.num_ahead == 0  # to it, the other has ended


def test_a_clock_that_is_set_back_a_little_begins_no_new_minute_hour_or_day() -> None:
    just_after = Taken().at(DAY_S + 10.0).plus("chance", ())
    assert just_after.at(DAY_S - 10.0) is just_after
    assert just_after.at(DAY_S - 10.0).day.number == 1


@pytest.mark.parametrize("back", [timedelta(minutes=10), timedelta(hours=2)])
def test_a_clock_that_is_set_back_gives_no_second_quota(back: timedelta) -> None:
    replica = Replica(FakeQuotaBook(), "a")
    at_noon = live([replica], lambda _: [20], minutes=range(720)).total()
    replica.lag = -back
    assert at_noon + live([replica], lambda _: [20], minutes=range(720, 721)).total() <= 0.6 * BY_CHANCE_A_DAY


# --- what holds for any traffic -----------------------------------------------------------------

bursts = st.dictionaries(st.integers(1, 1439), st.integers(1, 200), min_size=1, max_size=15)


@settings(max_examples=50, deadline=None)
@given(bursts, st.integers(0, 60), st.integers(0, 800), st.integers(0, 5000), st.integers(1, 4))
def test_no_traffic_of_any_replicas_exceeds_the_days_quota_or_its_pace(
    traffic: dict[int, int], per_minute: int, per_hour: int, per_day: int, num_replicas: int
) -> None:
    sampling = SamplingSettings(max_per_minute=per_minute, max_per_hour=per_hour, max_per_day=per_day)
    book = FakeQuotaBook()
    replicas = [Replica(book, str(number), sampling) for number in range(num_replicas)]
    kept = 0
    for minute, number in sorted(traffic.items()):
        come = [number] * num_replicas
        live(replicas, lambda _: [0] * num_replicas, minutes=[minute - 1])  # they look every minute
        kept += live(replicas, lambda _, come=come: come, minutes=[minute]).total()  # type: ignore[misc]
        by_day, by_hour = limit_of("chance", per_day), limit_of("chance", per_hour)
        pace = spread(by_day, minute, 1440) if by_day <= 24 * by_hour else by_day
        unseen = 0 if num_replicas == 1 else limit_of("chance", per_minute)  # of the minute before
        assert kept <= pace + unseen <= by_day + unseen


def test_a_further_replica_exceeds_the_pace_by_no_more_than_its_first_minute() -> None:
    book = FakeQuotaBook()
    first = Replica(book, "first")
    at_six = live([first], lambda _: [20], minutes=range(360)).total()
    assert at_six == spread(BY_CHANCE_A_DAY, 359, 1440)
    first.look(MIDNIGHT + timedelta(minutes=360))
    live([Replica(book, "second"), first], lambda _: [20, 20], minutes=range(360, 420))
    kept = sum(book.exchange(Worker("who asks", MIDNIGHT, {}), first.taken.day.number).counts.values())
    assert kept <= spread(BY_CHANCE_A_DAY, 419, 1440)


@given(st.integers(0, 10**6), st.integers(0, 1438))
def test_the_pace_never_falls_and_ends_at_the_whole_quota(quota: int, minute: int) -> None:
    assert quota / 10 <= spread(quota, minute, 1440) <= spread(quota, minute + 1, 1440)
    assert spread(quota, 1439, 1440) == quota
