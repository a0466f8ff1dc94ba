"""What a decision about retraining says, and which cause goes first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from maskloop.settings.workspace_settings import RetrainingSettings
from monitoring.drift.triggers import (
    JudgedWindow,
    TriggerDecision,
    TriggerState,
    decide_trigger,
    keys_of_causes,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


LABELS = RetrainingSettings(on_new_labelled_samples=20)
DRIFT = JudgedWindow("0123456789abcdef", "drift", ("belt", "gate"), NOON)


def decide(settings: RetrainingSettings, confirm_windows: int = 1, **state: object) -> TriggerDecision:
    found = TriggerState("w1", "b1", **{"data_version": "data-v3"} | state)  # type: ignore[arg-type]
    return decide_trigger(found, settings, confirm_windows=confirm_windows, now=NOON)


@pytest.mark.parametrize(
    ("decision", "action", "reason"),
    [
        (decide(LABELS), "none", "no window of this champion has been judged yet"),
        (
            decide(LABELS, windows=(JudgedWindow("a", "quiet"),)),
            "none",
            "the champion's input has not drifted",
        ),
        (decide(LABELS, 2, windows=(DRIFT,)), "none", "drift is not confirmed by 2 windows in a row yet"),
        (
            decide(LABELS, windows=(DRIFT,)),
            "record",
            "drift found at 2026-03-01 12:00 UTC in pictures of belt, gate (window 0123456789ab)",
        ),
        (
            decide(LABELS, windows=(replace(DRIFT, at=None, sources=()),)),
            "record",
            "drift found (window 0123456789ab)",
        ),
        (
            decide(RetrainingSettings(on_drift=False), windows=(replace(DRIFT, at=None, sources=()),)),
            "suppress",
            "drift found (window 0123456789ab), but retraining on drift is switched off",
        ),
        (
            decide(LABELS, num_new_labelled_samples=20, trigger_keys={"labels:w1:data-v3:1"}),
            "coalesce",
            "20 labelled pictures are new, 20 were asked for, which already has its trigger",
        ),
        (
            decide(LABELS, num_new_labelled_samples=25, open_cycle="cycle-7"),
            "coalesce",
            "25 labelled pictures are new, 20 were asked for; cycle-7 is open and takes it up",
        ),
        (
            decide(LABELS, num_new_labelled_samples=25, num_cycles_last_7_days=3),
            "suppress",
            "25 labelled pictures are new, 20 were asked for,"
            " but the budget of 3 cycles in 7 days is used up",
        ),
        (
            decide(LABELS, num_new_labelled_samples=25, last_cycle_ended_at=NOON - timedelta(hours=20)),
            "suppress",
            "25 labelled pictures are new, 20 were asked for,"
            " but the cooldown lasts until 2026-03-01 16:00 UTC",
        ),
    ],
)
def test_a_decision_about_retraining_says_why(decision: TriggerDecision, action: str, reason: str) -> None:
    assert (decision.action, decision.reason) == (action, reason)


@pytest.mark.parametrize(
    ("num_new", "keys"),
    [
        (19, ()),
        (20, ("labels:w1:data-v3:1",)),
        (39, ("labels:w1:data-v3:1",)),
        (40, ("labels:w1:data-v3:2",)),
    ],
)
def test_every_further_batch_of_labels_is_a_cause_of_its_own(num_new: int, keys: tuple[str, ...]) -> None:
    state = TriggerState("w1", "b1", num_new_labelled_samples=num_new, data_version="data-v3")
    assert keys_of_causes(state, LABELS, confirm_windows=1) == keys
    assert keys_of_causes(state, RetrainingSettings(), confirm_windows=1) == ()


def test_drift_is_named_before_labels_and_a_cause_that_may_start_goes_first() -> None:
    both = TriggerState("w1", "b1", (DRIFT,), num_new_labelled_samples=20, data_version="data-v3")
    keys = ("drift:w1:b1:0123456789abcdef", "labels:w1:data-v3:1")
    assert keys_of_causes(both, LABELS, confirm_windows=1) == keys
    answered = replace(both, trigger_keys=frozenset(keys))
    assert decide_trigger(answered, LABELS, confirm_windows=1, now=NOON).kind == "drift"
    no_drift = LABELS.model_copy(update={"on_drift": False})
    assert decide_trigger(both, no_drift, confirm_windows=1, now=NOON).kind == "labels"
