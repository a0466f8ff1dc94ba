"""Which answers become samples: cases counted by hand, and what holds for any traffic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskloop.settings.workspace_settings import SamplingSettings
from serving.sampling.quotas import RULES, Candidate, Decision, Pool, Rule, Taken, decide, limit_of

NOON_S = 1_772_366_400.0  # the beginning of a minute, of an hour, and half of a day


def take(
    candidates: Sequence[Candidate], settings: SamplingSettings, *, taken: Taken | None = None, now_s: float
) -> tuple[list[str], Taken]:
    """Decide one after the other, all at one moment; return the outcomes and what is taken then."""
    taken, outcomes = taken or Taken(), []
    for candidate in candidates:
        taken = taken.at(now_s)
        decision = decide(candidate, taken, settings)
        if decision.budget:
            taken = taken.plus(decision.budget, candidate.class_names)
        outcomes.append(decision.outcome)
    return outcomes, taken


def answers(count: int, *, rule: Rule | None = None, classes: Sequence[str] = ("bolt",)) -> list[Candidate]:
    return [Candidate(f"{rule}-{number}", frozenset(classes), rule) for number in range(count)]


def test_seven_tenths_of_a_quota_are_for_chance_and_one_for_each_rule() -> None:
    assert limit_of("chance", 120) == 84
    assert [limit_of(rule, 120) for rule in RULES] == [12, 12, 12]
    assert (limit_of("chance", 5), limit_of("failed", 5)) == (5, 0)
    assert (limit_of("chance", 0), limit_of("strange", 0)) == (0, 0)


def test_a_minute_takes_its_quota_and_the_next_minute_has_a_new_one() -> None:
    settings = SamplingSettings(max_per_minute=10)
    outcomes, taken = take(answers(9), settings, now_s=NOON_S)
    assert Counter(outcomes) == {"kept": 7, "over_quota": 2}
    outcomes, taken = take(answers(9), settings, taken=taken, now_s=NOON_S + 59.9)
    assert Counter(outcomes) == {"over_quota": 9}
    outcomes, taken = take(answers(9), settings, taken=taken, now_s=NOON_S + 60)
    assert Counter(outcomes) == {"kept": 7, "over_quota": 2}


def test_the_hour_and_the_day_have_their_quotas_too() -> None:
    settings = SamplingSettings(max_per_minute=10, max_per_hour=20, max_per_day=30)
    taken, kept = Taken(), []
    for minute in (0, 1, 2, 60, 61, 120, 719, 720):
        outcomes, taken = take(answers(10), settings, taken=taken, now_s=NOON_S + 60 * minute)
        kept.append(outcomes.count("kept"))
    # 7 a minute; 14 an hour; 21 a day, of which a tenth at once and 11.56, 13.14, 20.99 by these minutes
    assert kept == [7, 5, 0, 1, 0, 1, 7, 3]


def test_a_rate_of_zero_keeps_what_a_rule_asks_for_and_nothing_else() -> None:
    settings = SamplingSettings(rate=0.0)
    assert decide(Candidate("a"), Taken(), settings) == Decision(None, "not_chosen")
    for rule in RULES:
        assert decide(Candidate("a", rule=rule), Taken(), settings) == Decision(rule, f"kept_{rule}")


def test_what_chance_takes_needs_no_rule() -> None:
    settings = SamplingSettings(rate=1.0)
    assert decide(Candidate("a", rule="strange"), Taken(), settings) == Decision("chance", "kept")
    assert decide(Candidate("a", rule="failed"), Taken(), settings) == Decision("failed", "kept_failed")


def test_a_flood_of_failures_or_noise_does_not_change_how_often_answers_are_sampled() -> None:
    settings = SamplingSettings(rate=1.0, max_per_minute=100)
    flood = [*answers(1000, rule="failed"), *answers(70), *answers(1000, rule="strange")]
    outcomes, _ = take(flood, settings, now_s=NOON_S)
    assert Counter(outcomes) == {"kept": 70, "kept_failed": 10, "kept_strange": 10, "over_quota": 1980}


def test_an_endless_stream_of_answers_leaves_room_for_the_samples_of_rules() -> None:
    settings = SamplingSettings(rate=1.0, max_per_minute=100)
    outcomes, _ = take([*answers(1000), *answers(50, rule="doubtful")], settings, now_s=NOON_S)
    assert Counter(outcomes) == {"kept": 70, "kept_doubtful": 10, "over_quota": 970}


def test_a_class_that_has_enough_today_is_left_out_unless_another_one_is_there_too() -> None:
    settings = SamplingSettings(max_per_class_per_day=2)
    bolts = [Candidate(f"b{number}", frozenset({"bolt"})) for number in range(3)]
    both, nothing = Candidate("both", frozenset({"bolt", "nut"})), Candidate("nothing")
    outcomes, taken = take([*bolts, both, nothing], settings, now_s=NOON_S)
    assert outcomes == ["kept", "kept", "class_quota", "kept", "kept"]
    assert take([bolts[2]], settings, taken=taken, now_s=NOON_S + 3600)[0] == ["class_quota"]
    assert take([bolts[2]], settings, taken=taken, now_s=NOON_S + 43_200)[0] == ["kept"]
    doubtful = Candidate("b", frozenset({"bolt"}), "doubtful")
    assert take([doubtful], settings, taken=taken, now_s=NOON_S)[0] == ["kept_doubtful"]


def test_without_a_quota_for_classes_none_is_left_out() -> None:
    outcomes, _ = take(answers(50), SamplingSettings(max_per_class_per_day=0), now_s=NOON_S)
    assert set(outcomes) == {"kept"}


@pytest.mark.parametrize("num_workers", [1, 2, 4, 9])
def test_workers_share_each_quota_to_the_last_sample(num_workers: int) -> None:
    settings = SamplingSettings(max_per_minute=10, max_per_class_per_day=5)
    kept = 0
    for rank in range(num_workers):
        pool, taken = Pool(num_workers=num_workers, rank=rank), Taken().at(NOON_S)
        for candidate in answers(10):
            if decide(candidate, taken, settings, pool).budget:
                taken = taken.plus("chance", candidate.class_names)
                kept += 1
    assert kept == 5


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.9])
def test_about_as_many_are_chosen_as_the_rate_says(rate: float) -> None:
    unlimited = SamplingSettings(rate=rate, max_per_minute=10**6, max_per_hour=10**6, max_per_day=10**6)
    outcomes, _ = take(answers(4000), unlimited, now_s=NOON_S)
    # four standard deviations of a binomial
    assert abs(outcomes.count("kept") / 4000 - rate) < 4 * (rate * (1 - rate) / 4000) ** 0.5


@given(st.text(min_size=1, max_size=40), st.floats(0, 1), st.floats(0, 1))
def test_the_same_request_is_decided_alike_and_a_higher_rate_loses_nobody(
    request_id: str, low: float, high: float
) -> None:
    low, high = sorted((low, high))

    def outcome(rate: float) -> str:
        return decide(Candidate(request_id), Taken(), SamplingSettings(rate=rate)).outcome

    assert outcome(low) == outcome(low)
    assert outcome(low) != "kept" or outcome(high) == "kept"


arrivals = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from([None, *RULES]),
        st.sets(st.sampled_from(["bolt", "nut", "gear"])),
        st.integers(0, 10**6),
    ),
    max_size=120,
)
quotas = st.integers(0, 40)


@given(arrivals, quotas, quotas, quotas, st.integers(0, 3), st.floats(0, 1))
def test_no_traffic_exceeds_a_quota_and_no_rule_exceeds_its_share(
    traffic: list[tuple[int, Rule | None, set[str], int]],
    per_minute: int,
    per_hour: int,
    per_day: int,
    per_class: int,
    rate: float,
) -> None:
    settings = SamplingSettings(
        rate=rate,
        max_per_minute=per_minute,
        max_per_hour=per_hour,
        max_per_day=per_day,
        max_per_class_per_day=per_class,
    )
    taken, now_s = Taken(), NOON_S
    minutes, hour = Counter[int](), Counter[str]()
    for wait_tens_of_s, rule, classes, number in traffic:
        now_s += 10 * wait_tens_of_s  # all within one hour
        taken = taken.at(now_s)
        decision = decide(Candidate(str(number), frozenset(classes), rule), taken, settings)
        if decision.budget:
            taken = taken.plus(decision.budget, classes)
            minutes[int(now_s // 60)] += 1
            hour[decision.budget] += 1
    assert all(count <= per_minute for count in minutes.values())
    assert hour.total() <= min(per_hour, per_day)
    assert all(hour[rule] <= min(per_hour // 10, per_day // 10) for rule in RULES)
