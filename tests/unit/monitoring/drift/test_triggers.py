"""Whether the loop starts another turn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskloop.settings.workspace_settings import RetrainingSettings
from monitoring.drift.triggers import (
    JudgedWindow,
    TriggerDecision,
    TriggerState,
    decide_trigger,
    drift_episode,
)
from monitoring.drift.verdict import Outcome

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SETTINGS = RetrainingSettings(cooldown_hours=24, max_cycles_per_week=3)
LETTERS: dict[str, Outcome] = {"d": "drift", "q": "quiet", "i": "inconclusive"}


def history(letters: str) -> tuple[JudgedWindow, ...]:
    return tuple(JudgedWindow(f"window{n}", LETTERS[letter]) for n, letter in enumerate(letters))


def decide(
    state: TriggerState, settings: RetrainingSettings = SETTINGS, confirm_windows: int = 1
) -> TriggerDecision:
    return decide_trigger(state, settings, confirm_windows=confirm_windows, now=NOW)


def state(letters: str = "d", **changes: object) -> TriggerState:
    return TriggerState("w1", "b1", history(letters), **changes)  # type: ignore[arg-type]


def test_drift_records_a_trigger_named_after_champion_baseline_and_first_window() -> None:
    decision = decide(state("qd"))
    assert (decision.action, decision.kind) == ("record", "drift")
    assert decision.key == "drift:w1:b1:window1"


@pytest.mark.parametrize("letters", ["", "q", "dq", "i", "qi"])
def test_without_drift_there_is_no_trigger(letters: str) -> None:
    assert decide(state(letters)).action == "none"


def test_a_thousand_drifting_windows_make_one_trigger() -> None:
    keys = {decide(state("d" * n)).key for n in range(1, 1000, 37)}
    assert keys == {"drift:w1:b1:window0"}
    assert decide(state("d" * 1000, trigger_keys=keys)).action == "coalesce"


def test_a_quiet_window_arms_the_alarm_again() -> None:
    first = decide(state("dd")).key
    again = decide(state("ddqd", trigger_keys={first}))
    assert again.action == "record"
    assert again.key != first


def test_a_new_champion_has_another_key() -> None:
    assert TriggerState("w2", "b2", history("d")) != state("d")
    assert decide(TriggerState("w2", "b2", history("d"))).key != decide(state("d")).key


def test_drift_must_be_confirmed_by_windows_in_a_row() -> None:
    assert decide(state("dqd"), confirm_windows=2).action == "none"
    assert "not confirmed" in decide(state("dqd"), confirm_windows=2).reason
    assert decide(state("dqdd"), confirm_windows=2).action == "record"


def test_an_inconclusive_window_neither_confirms_nor_ends_a_drift() -> None:
    assert decide(state("di"), confirm_windows=2).action == "none"
    assert decide(state("did"), confirm_windows=2).key == "drift:w1:b1:window0"


def test_an_open_cycle_takes_the_drift_up() -> None:
    decision = decide(state(open_cycle="cycle-7"))
    assert decision.action == "record", "so that the cycle names it"
    assert decision.reason == f"{decision.cause}; cycle-7 is open and takes it up"
    assert decide(state(open_cycle="cycle-7", trigger_keys={decision.key})).action == "coalesce"
    labels = state("q", open_cycle="cycle-7", num_new_labelled_samples=20)
    assert decide(labels, RetrainingSettings(on_new_labelled_samples=20)).action == "coalesce"


def test_joining_an_open_cycle_needs_no_budget_and_no_cooldown() -> None:
    busy = state(open_cycle="cycle-7", num_cycles_last_7_days=3, last_cycle_ended_at=NOW)
    assert decide(busy).action == "record"


def test_a_spent_budget_of_training_hours_makes_a_trigger_wait_and_says_so() -> None:
    settings = SETTINGS.model_copy(update={"max_training_hours_per_month": 10.0})
    spent = decide(state(training_hours_last_30_days=10.5), settings)
    assert spent.action == "suppress"
    assert spent.reason.endswith("but the budget of 10 training hours in 30 days is used up (10.5 h)")
    assert decide(state(training_hours_last_30_days=9.5), settings).action == "record"
    assert decide(state(training_hours_last_30_days=999.0)).action == "record"


def test_the_cooldown_ends_by_itself() -> None:
    recent = state(last_cycle_ended_at=NOW - timedelta(hours=23))
    assert decide(recent).action == "suppress"
    assert "2026-03-01 13:00" in decide(recent).reason
    assert decide(state(last_cycle_ended_at=NOW - timedelta(hours=24))).action == "record"


def test_the_weekly_budget_holds() -> None:
    assert decide(state(num_cycles_last_7_days=2)).action == "record"
    spent = decide(state(num_cycles_last_7_days=3))
    assert spent.action == "suppress"
    assert "budget" in spent.reason


def test_drift_can_be_switched_off() -> None:
    assert decide(state(), RetrainingSettings(on_drift=False)).action == "suppress"


def test_enough_new_labels_open_a_cycle() -> None:
    settings = RetrainingSettings(on_new_labelled_samples=20)
    assert decide(state("q", num_new_labelled_samples=19), settings).action == "none"
    decision = decide(state("q", num_new_labelled_samples=20, data_version="data-v3"), settings)
    assert (decision.action, decision.kind, decision.key) == ("record", "labels", "labels:w1:data-v3:1")
    more = decide(state("q", num_new_labelled_samples=41, trigger_keys={decision.key}), settings)
    assert more.action == "record"


def test_new_labels_count_although_the_drift_has_had_its_trigger() -> None:
    settings = RetrainingSettings(on_new_labelled_samples=20)
    decision = decide(state("d", trigger_keys={"drift:w1:b1:window0"}, num_new_labelled_samples=20), settings)
    assert (decision.action, decision.kind) == ("record", "labels")


@given(st.text(alphabet="dqi", max_size=30), st.integers(1, 3))
def test_replaying_any_history_records_one_trigger_per_episode(letters: str, confirm_windows: int) -> None:
    keys: set[str] = set()
    for length in range(1, len(letters) + 1):
        for _ in range(2):  # the second tick must find nothing to do
            decision = decide(
                state(letters[:length], trigger_keys=frozenset(keys)), confirm_windows=confirm_windows
            )
            if decision.action == "record":
                assert decision.key not in keys
                keys.add(decision.key)
    episodes = [part for part in letters.split("q") if part.count("d") >= confirm_windows]
    assert len(keys) == len(episodes)


def test_an_episode_is_named_after_its_first_window() -> None:
    found = drift_episode(history("dqidid"), 2)
    assert found is not None
    assert found.window_id == "window3"
    assert drift_episode((), 1) is None


def windows_of(*sources: tuple[str, ...]) -> tuple[JudgedWindow, ...]:
    return tuple(JudgedWindow(f"window{n}", "drift", named, NOW) for n, named in enumerate(sources))


def test_a_drift_that_reaches_another_source_is_news_beside_the_alarm_of_the_first() -> None:
    one, both = ("camera 2",), ("camera 1", "camera 2")
    first = decide(TriggerState("w1", "b1", windows_of(one, one)))
    assert first.cause == "drift found at 2026-03-01 12:00 UTC in pictures of camera 2 (window window0)"
    keys = {first.key}
    assert decide(TriggerState("w1", "b1", windows_of(one, one), trigger_keys=keys)).action == "coalesce"
    spread = TriggerState("w1", "b1", windows_of(one, one, both), trigger_keys=keys, open_cycle="cycle-7")
    second = decide(spread)
    assert (second.action, second.key) == ("record", "drift:w1:b1:window2")
    assert "camera 1, camera 2" in second.cause
    keys.add(second.key)
    later = TriggerState("w1", "b1", windows_of(one, one, both, one, both), trigger_keys=keys)
    assert decide(later).action == "coalesce"
