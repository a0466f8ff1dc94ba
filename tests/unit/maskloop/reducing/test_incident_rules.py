from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from maskloop.folding.fold import fold
from maskloop.folding.reader import make_snapshot, open_snapshot
from maskloop.records.kinds import (
    AliasTampered,
    IncidentAcknowledged,
    IncidentNoted,
    LabelsRequested,
    NotificationFailed,
    NotificationSent,
    RolloutMoved,
    TrainingFailed,
    TriggerSuppressed,
)
from maskloop.reducing.draft import KEPT
from tests.fakes.histories import ACTIONS, History
from tests.fakes.incident_stories import Story


def test_a_drift_is_one_incident_from_its_first_window_to_the_quiet_one() -> None:
    story = Story()
    story.serve("1")
    story.window("quiet")
    well_at = story.clock.now()
    first = story.window("drift")
    detected_at = story.clock.now()
    story.window("drift")
    story.window("inconclusive")
    assert [one.is_open for one in story.incidents] == [True]
    last = story.window("quiet")

    (incident,) = story.incidents
    assert (incident.id, incident.kind, incident.version) == ("incident-1", "drift", "1")
    assert (incident.began_at, incident.detected_at) == (well_at, detected_at)
    assert incident.num_alarms == 2
    assert incident.entries == (first, last)
    assert incident.time_to_detect == timedelta(minutes=10)
    assert incident.time_to_restore == timedelta(minutes=30)
    assert incident.restored_by.startswith("a quiet window")
    assert (incident.signals, incident.sources, incident.pages) == (("brightness",), ("belt",), ("r.html",))


def test_a_drift_that_reaches_another_source_stays_one_incident_and_tells_it() -> None:
    story = Story()
    story.serve("1")
    first, second = story.window("drift"), story.window("drift", source="tower")
    (incident,) = story.incidents
    assert incident.sources == ("belt", "tower")
    assert incident.entries == (first, second)


def test_a_quiet_window_of_another_model_ends_no_incident() -> None:
    story = Story()
    story.serve("1")
    story.window("drift")
    story.window("quiet", version="7")
    assert [one.is_open for one in story.incidents] == [True]


def test_another_champion_ends_the_drift_of_the_one_before() -> None:
    story = Story()
    story.serve("1")
    story.window("drift")
    story.serve("2", instead="1", epoch=2)
    (incident,) = story.incidents
    assert incident.restored_by == "version 2 serves"


def test_a_drift_after_a_quiet_window_is_another_incident() -> None:
    story = Story()
    story.serve("1")
    for outcome in ("drift", "quiet", "drift"):
        story.window(outcome)
    assert [(one.id, one.is_open) for one in story.incidents] == [("incident-1", False), ("incident-2", True)]


def test_a_retraining_that_fails_has_the_cause_of_the_drift_that_it_answers() -> None:
    story = Story()
    story.serve("1")
    story.window("drift")
    story.open_cycle("cycle-1")
    story.fail_cycle("cycle-1")
    story.open_cycle("cycle-2", takes_up=("cycle-1",))
    story.fail_cycle("cycle-2")

    (incident,) = story.incidents
    assert incident.kind == "drift"
    assert incident.cycles == ("cycle-1", "cycle-2")
    assert incident.num_alarms == 3
    kinds = [story.ledger.entries()[number - 1].kind for number in incident.entries]
    assert kinds.count("training.failed") == 6
    assert kinds.count("cycle.closed") == 2


def test_a_training_by_hand_that_is_given_up_is_an_incident_until_another_one_is_judged() -> None:
    story = Story()
    story.open_cycle("cycle-1", "manual")
    story.write(TrainingFailed(attempt=1, reason="out of memory"), cycle="cycle-1")
    failing_since = story.clock.now()
    story.fail_cycle("cycle-1", attempts=0)
    story.open_cycle("cycle-2", "manual", takes_up=("cycle-1",))
    story.fail_cycle("cycle-2")
    story.open_cycle("cycle-3", "manual", takes_up=("cycle-1", "cycle-2"))
    assert [(one.num_alarms, one.is_open) for one in story.incidents] == [(2, True)]
    story.judge("cycle-3")

    (incident,) = story.incidents
    assert incident.began_at == failing_since
    assert incident.time_to_detect == timedelta(minutes=10)
    assert incident.cycles == ("cycle-1", "cycle-2", "cycle-3")
    assert incident.restored_by == "version 2 was trained and judged"


def test_a_failed_attempt_that_the_next_one_repairs_is_no_incident() -> None:
    story = Story()
    story.open_cycle("cycle-1", "manual")
    story.write(TrainingFailed(attempt=1, reason="out of memory"), cycle="cycle-1")
    story.judge("cycle-1")
    assert story.incidents == []


def test_a_challenger_that_fails_a_check_is_an_incident_until_it_is_out_of_the_traffic() -> None:
    story = Story()
    story.serve("1")
    story.open_cycle("cycle-1", "manual")
    story.judge("cycle-1")
    story.roll_out("cycle-1", ("passed", "progressing"), ("failed", "aborting"))
    (incident,) = story.incidents
    assert (incident.kind, incident.version, incident.is_open) == ("rollout", "2", True)
    assert incident.time_to_detect == timedelta(minutes=20)
    story.write(
        RolloutMoved(event="withdrawn", phase="rolled-back", share_percent=0, reason="masks too small"),
        cycle="cycle-1",
    )
    (incident,) = story.incidents
    assert incident.time_to_restore == timedelta(minutes=10)


def test_a_challenger_that_another_promotion_replaces_is_no_incident() -> None:
    story = Story()
    story.open_cycle("cycle-1", "manual")
    story.roll_out("cycle-1", ("replaced", "aborting"), ("withdrawn", "rolled-back"))
    assert story.incidents == []


def test_a_rollback_by_hand_is_an_incident_of_the_version_that_was_left() -> None:
    story = Story()
    story.serve("1")
    story.serve("2", instead="1", epoch=2)
    story.serve("1", cause="rollback", instead="2", epoch=3)
    (incident,) = story.incidents
    assert (incident.kind, incident.version, incident.restored_by) == ("champion", "2", "version 1 serves")
    assert incident.time_to_detect == timedelta(minutes=10)
    assert incident.time_to_restore == timedelta(minutes=10)


def test_a_rollback_during_a_drift_of_the_champion_is_the_same_incident() -> None:
    story = Story()
    story.serve("1")
    story.serve("2", instead="1", epoch=2)
    story.window("drift", version="2")
    story.serve("1", cause="rollback", instead="2", epoch=3)
    (incident,) = story.incidents
    assert (incident.kind, incident.restored_by) == ("drift", "version 1 serves")
    kinds = [story.ledger.entries()[number - 1].kind for number in incident.entries]
    assert kinds == ["drift.judged", "champion.changing", "champion.changed"]


def test_an_alias_that_was_moved_by_hand_is_an_incident_that_is_over_at_once() -> None:
    story = Story()
    story.write(AliasTampered(alias="champion", found_version="1", expected_version="2"))
    (incident,) = story.incidents
    assert (incident.kind, incident.is_open) == ("alias", False)


def test_labels_and_a_spent_budget_are_steps_of_the_drift_that_they_answer() -> None:
    story = Story()
    story.serve("1")
    drift = story.window("drift")
    spent = story.write(TriggerSuppressed(trigger_key="drift:w1", reason="the budget is used up"))
    story.open_cycle("cycle-1")
    asked = story.write(
        LabelsRequested(request_id="r", cause="drift", chosen=()), cycle="cycle-1", after_min=0
    )
    (incident,) = story.incidents
    assert {drift, spent, asked} < set(incident.entries)


def test_a_person_acknowledges_once_and_writes_down_the_cause() -> None:
    story = Story()
    story.serve("1")
    story.window("drift")
    story.write(IncidentAcknowledged(incident_id="incident-1", by="anna"))
    story.write(IncidentAcknowledged(incident_id="incident-1", by="ben"))
    story.write(IncidentNoted(incident_id="incident-1", aspect="note", text="camera 3", by="ben"))
    story.write(IncidentNoted(incident_id="incident-1", aspect="cause", text="a new lamp", by="ben"))
    story.write(IncidentAcknowledged(incident_id="incident-9", by="ben"))
    (incident,) = story.incidents
    assert (incident.acknowledged_by, incident.cause) == ("anna", "a new lamp")
    assert incident.time_to_acknowledge == timedelta(minutes=10)
    assert len(incident.entries) == 5


def test_a_clock_that_was_turned_back_makes_no_negative_time() -> None:
    story = Story()
    story.serve("1")
    story.window("quiet")
    story.clock.advance(days=-3)
    story.window("drift")
    story.clock.advance(days=-3)
    story.window("quiet")
    (incident,) = story.incidents
    assert incident.time_to_detect == timedelta(0)
    assert incident.time_to_restore == timedelta(0)


def test_a_channel_is_in_trouble_until_it_takes_a_message() -> None:
    story = Story()
    failed = NotificationFailed(channel="mail", notice_id="drift:incident-1", attempt=1, reason="no answer")
    story.write(failed)
    since = story.clock.now()
    story.write(failed)
    trouble = story.state.channel_troubles["mail"]
    assert (trouble.since, trouble.num_attempts) == (since, 2)
    assert trouble.last_attempt_at == story.clock.now()
    story.write(NotificationSent(channel="mail", notice_id="drift:incident-1", headline="drift"))
    assert story.state.channel_troubles == {}


def test_only_the_newest_incidents_that_are_over_are_kept_and_all_open_ones() -> None:
    story = Story()
    story.serve("1")
    story.window("drift")
    for _ in range(KEPT.incidents + 5):
        story.write(AliasTampered(alias="champion", found_version="1", expected_version="2"))
    kept = story.incidents
    assert len(kept) == KEPT.incidents + 1
    assert (kept[0].id, kept[0].is_open, kept[1].id) == ("incident-1", True, "incident-7")
    assert story.state.num_incidents == KEPT.incidents + 6


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 4), st.integers(0, 7)), max_size=40))
def test_incidents_survive_a_snapshot_and_their_times_are_in_order(
    actions: list[tuple[str, int, int]],
) -> None:
    history = History()
    for action in actions:
        history.act(*action)
    entries = history.ledger.entries()
    whole = fold(entries)
    half = len(entries) // 2
    resumed = fold(entries[half:], fold(entries[:half], past=history.ledger), past=history.ledger)
    assert resumed.incidents == whole.incidents
    if entries:
        kept = make_snapshot(whole, entries[-1].digest)
        assert open_snapshot(history.ledger, kept) == whole
    drifts = [one for one in whole.open_incidents if one.kind == "drift"]
    assert len({one.subject for one in drifts}) == len(drifts)
    for one in whole.incidents.values():
        assert list(one.entries) == sorted(one.entries)
        assert one.began_at <= one.detected_at
