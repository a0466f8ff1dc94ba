from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from flows.notifications.messages import Place, write_message
from flows.notifications.notices import Notice, find_notices
from flows.notifications.runbooks import INCIDENT_RUNBOOKS, NOTICE_RUNBOOKS
from maskloop.records.kinds import (
    ChosenPicture,
    CycleWaiting,
    LabelsPulled,
    LabelsPushed,
    LabelsRequested,
    RolloutMoved,
)
from maskloop.settings.notification_settings import NOTICE_EVENTS
from maskloop.settings.workspace_settings import parse_settings
from tests.fakes.incident_stories import Story
from tests.unit.test_docs import headings_of

ROOT = Path(__file__).resolve().parents[4]
SETTINGS = parse_settings({"monitoring": {"confirm_windows": 2}, "retraining": {"max_cycles_per_week": 2}})


def notices_of(story: Story) -> list[Notice]:
    return list(find_notices(story.state, SETTINGS, story.clock.now()))


def events_of(story: Story) -> list[str]:
    return [one.event for one in notices_of(story) if not one.follows]


def drifting() -> Story:
    """Version 2 serves after version 1, and two windows in a row have drifted."""
    story = Story()
    story.serve("1")
    story.serve("2", instead="1", epoch=2)
    for _ in range(2):
        story.window("drift", version="2", drifted_features=("brightness", "count of bolt"))
    return story


def test_where_all_is_well_there_is_nothing_to_tell() -> None:
    story = Story()
    assert notices_of(story) == []
    story.serve("1")
    story.window("quiet")
    assert notices_of(story) == []


def test_a_drift_is_told_once_it_is_confirmed_and_as_long_as_it_lasts() -> None:
    story = Story()
    story.serve("1")
    story.window("drift")
    assert events_of(story) == []
    story.window("drift")
    (first,) = notices_of(story)
    story.window("drift")
    (later,) = notices_of(story)
    assert first.id == later.id == "drift:incident-1"
    story.window("quiet")
    assert events_of(story) == []


def test_a_drift_names_its_model_its_classes_its_pages_and_the_version_to_go_back_to() -> None:
    (notice,) = notices_of(drifting())
    facts = dict(notice.facts)
    assert notice.headline == "production has drifted from what version 2 knows in pictures of belt"
    assert (facts["model"], facts["class"], facts["page"]) == ("version 2", "bolt", "r.html")
    assert facts["shows in"] == "brightness, count of bolt"
    assert notice.commands[0] == "maskloop incidents show incident-1"
    assert "version 1 serves again" in notice.commands[-1]


def test_a_stranger_who_reads_one_message_alone_knows_what_happened_and_what_to_type() -> None:
    (notice,) = notices_of(drifting())
    message = write_message(notice, Place("metal-parts", "/srv/parts", "belt-7"))
    assert message.headline == (
        "[metal-parts] production has drifted from what version 2 knows in pictures of belt"
    )
    assert message.text == (
        "Production has drifted from what version 2 knows in pictures of belt.\n"
        "since: 2026-03-02 09:50 UTC\n"
        "model: version 2\n"
        "class: bolt\n"
        "shows in: brightness, count of bolt\n"
        "page: r.html\n"
        "incident: incident-1; all was well at 2026-03-02 09:40 UTC at the latest\n"
        "why: production has drifted (120 samples of belt): it is dark\n"
        "\n"
        "What to type, in /srv/parts on belt-7:\n"
        "  maskloop incidents show incident-1\n"
        "  maskloop status\n"
        "  maskloop rollback --why ...   (version 1 serves again)\n"
        "\n"
        "Runbook: docs/runbooks/drift.md#production-has-drifted"
    )


def test_the_end_of_a_drift_is_a_notice_for_those_who_were_told_of_it_and_for_a_week() -> None:
    story = drifting()
    story.window("quiet", version="2")
    (notice,) = notices_of(story)
    assert (notice.id, notice.follows) == ("restored:incident-1", "drift:incident-1")
    assert notice.headline == (
        "the drift of 2026-03-02 09:50 UTC is over: a quiet window: production fits again"
    )
    assert dict(notice.facts)["lasted"] == "20 min"
    assert notice.commands == ("maskloop incidents postmortem incident-1",)
    story.clock.advance(days=7)
    assert notices_of(story) == []


def test_a_cycle_that_was_given_up_is_told_until_another_begins() -> None:
    story = Story()
    story.open_cycle("cycle-1", "manual")
    story.fail_cycle("cycle-1")
    (notice,) = notices_of(story)
    assert notice.event == "failed-cycle"
    assert notice.headline == "cycle-1 was given up without a new model; nothing serves yet"
    assert dict(notice.facts)["why"] == "3 attempts without progress"
    assert notice.commands[-1].startswith("maskloop retrain") or "maskloop train" in notice.commands[-1]
    story.open_cycle("cycle-2", "manual", takes_up=("cycle-1",))
    assert events_of(story) == []


def test_a_challenger_that_a_check_took_out_is_told_until_the_next_rollout() -> None:
    story = Story()
    story.serve("1")
    story.open_cycle("cycle-1", "manual")
    story.judge("cycle-1")
    story.roll_out("cycle-1", ("failed", "aborting"), ("withdrawn", "rolled-back"))
    (notice,) = notices_of(story)
    assert (notice.event, notice.id) == ("rollback", "rollback:cycle-1")
    assert notice.headline == "version 2 was taken out of the traffic by itself; version 1 serves"
    assert "masks too small" in dict(notice.facts)["why"]
    story.open_cycle("cycle-2", "manual")
    story.roll_out("cycle-2")
    assert events_of(story) == []


def test_a_challenger_that_a_person_stopped_is_told_nobody() -> None:
    story = Story()
    story.open_cycle("cycle-1", "manual")
    story.roll_out("cycle-1", ("stopped", "aborting"), ("withdrawn", "rolled-back"))
    assert events_of(story) == []


def test_an_approval_that_waits_is_told_until_somebody_decides() -> None:
    story = Story()
    story.open_cycle("cycle-1", "manual")
    story.judge("cycle-1")
    assert events_of(story) == []
    story.write(
        CycleWaiting(waiting_for="approval", reason="nobody has decided yet", way_out="approve"),
        cycle="cycle-1",
    )
    (notice,) = notices_of(story)
    assert (notice.event, notice.id, notice.since) == ("decision", "decision:b", story.clock.now())
    assert notice.commands == (
        "maskloop approve 2 --by NAME",
        "maskloop reject 2 --by NAME --why ...",
    )


def test_a_paused_rollout_waits_for_a_person_anew_each_time() -> None:
    story = Story()
    story.open_cycle("cycle-1", "manual")
    story.roll_out("cycle-1", ("overdue", "paused"))
    (first,) = notices_of(story)
    for event, phase in (("resumed", "progressing"), ("overdue", "paused")):
        moved = {"event": event, "phase": phase, "share_percent": 1.0, "reason": "no traffic came"}
        story.write(RolloutMoved.model_validate(moved), cycle="cycle-1")
    (second,) = notices_of(story)
    assert (first.event, second.event) == ("decision", "decision")
    assert first.id != second.id


def test_a_drift_that_the_budget_leaves_without_an_answer_is_told_with_the_time_of_the_next_cycle() -> None:
    story = Story()
    story.serve("1")
    for number in (1, 2):
        story.open_cycle(f"cycle-{number}", "labels")
        story.judge(f"cycle-{number}", version=f"{number + 1}")
        story.serve(f"{number + 1}", instead=f"{number}", epoch=number + 1)
        story.close(f"cycle-{number}")
    opened_at = story.state.openings[0]
    for _ in range(2):
        story.window("drift", version="3")
    notices = {one.event: one for one in notices_of(story)}
    assert set(notices) == {"drift", "budget"}
    free_at = opened_at + timedelta(days=7)
    assert f"{free_at:%Y-%m-%d %H:%M}" in dict(notices["budget"].facts)["next"]
    assert notices["budget"].headline == "production has drifted, and the 2 cycles of this week are spent"
    story.clock.advance(days=8)
    assert events_of(story) == ["drift"]


def test_a_label_request_is_told_when_it_waits_for_people_and_when_it_is_finished() -> None:
    story = Story()
    chosen = tuple(
        ChosenPicture(sample_id=name, picture_digest=name, source="belt", reason="unsure") for name in "ab"
    )
    story.write(LabelsRequested(request_id="r1", cause="the drift of Monday", chosen=chosen))
    assert events_of(story) == []
    story.write(LabelsPushed(request_id="r1", tool="folder", project="labelling/", num_pictures=2))
    (waiting,) = notices_of(story)
    assert (waiting.event, waiting.headline) == (
        "labels-waiting",
        "2 pictures of request r1 wait to be labelled",
    )
    assert dict(waiting.facts) == {"where": "folder, labelling/", "why": "the drift of Monday"}
    pulled = LabelsPulled(request_id="r1", tool="folder", num_new=2, num_unchanged=0, data_tag="data-v2")
    story.write(pulled)
    (finished,) = notices_of(story)
    assert finished.headline == "all 2 pictures of request r1 are labelled, in data-v2"


def test_every_event_and_every_kind_of_incident_has_a_runbook_that_is_there() -> None:
    assert set(NOTICE_RUNBOOKS) == set(NOTICE_EVENTS)
    for link in {*NOTICE_RUNBOOKS.values(), *INCIDENT_RUNBOOKS.values()}:
        file, _, heading = link.partition("#")
        assert heading in headings_of(ROOT / file), link


@pytest.mark.parametrize("event", NOTICE_EVENTS)
def test_every_event_is_described_in_the_operations_page(event: str) -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert f"| `{event}` |" in page
