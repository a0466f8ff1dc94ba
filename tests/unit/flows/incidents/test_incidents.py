from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from flows.incidents.additions import (
    acknowledge_incident,
    add_to_incident,
    end_incident,
    report_incident,
)
from flows.incidents.overview import (
    describe_incident,
    find_incident,
    incident_line,
    measure_times,
    read_timeline,
)
from flows.incidents.page import draw_bars, write_incident_page
from flows.incidents.postmortem import write_postmortem
from maskloop.errors import NotFoundError, RefusedError
from maskloop.folding.history import recall_incidents
from maskloop.records.kinds import AliasTampered, IncidentAcknowledged
from maskloop.reducing.draft import KEPT
from tests.fakes.incident_stories import Story
from tests.fakes.loop_world import World


@pytest.fixture
def worked_on(tmp_path: Path) -> World:
    """A drift that a person looked into and another champion ended; a failed training that goes on."""
    world = World(tmp_path / "workspace")
    story = Story(world.clock)
    world.ledger = story.ledger
    story.serve("1")
    story.window("quiet")
    story.window("drift", drifted_features=("brightness", "count of bolt"), report="drift/w/page.html")
    acknowledge_incident(world.app(), "incident-1", by="anna", note="I look at camera 3")
    story.open_cycle("cycle-1")
    text = "the lamp | over camera 3\nwas replaced"
    add_to_incident(world.app(), "incident-1", aspect="cause", text=text, by="anna")
    add_to_incident(world.app(), "incident-1", aspect="action", text="the old lamp is back", by="ben")
    story.judge("cycle-1")
    story.serve("2", instead="1", epoch=2)
    story.close("cycle-1")
    story.open_cycle("cycle-2", "manual")
    story.fail_cycle("cycle-2")
    return world


def test_the_timeline_tells_alarm_person_cause_action_and_end_in_order(worked_on: World) -> None:
    incident = find_incident(worked_on.ledger, worked_on.state, "incident-1")
    lines = read_timeline(worked_on.ledger, incident)
    told = [line.what for line in lines]
    assert told == ["alarm", "acknowledged", "action", "cause", "action", "action", "action", "restored"]
    assert [line.actor for line in lines[1:2]] == ["anna"]
    assert lines[0].said.startswith("production has drifted")
    assert lines[-1].said.startswith("version 2")
    assert [line.at for line in lines] == sorted(line.at for line in lines)


def test_the_timeline_of_a_failed_training_begins_with_its_attempts(worked_on: World) -> None:
    incident = find_incident(worked_on.ledger, worked_on.state, "incident-2")
    lines = read_timeline(worked_on.ledger, incident)
    assert [line.what for line in lines] == ["before"] * 4 + ["alarm"]
    assert lines[1].said == "attempt 1 failed: out of memory"


def test_an_incident_is_found_by_its_number_too_and_an_unknown_one_is_said(worked_on: World) -> None:
    assert find_incident(worked_on.ledger, worked_on.state, "2").id == "incident-2"
    for name in ("3", "incident-0", "incident-x", ""):
        with pytest.raises(NotFoundError, match="there is no incident-"):
            find_incident(worked_on.ledger, worked_on.state, name)


def test_incidents_that_the_state_has_forgotten_are_read_back_from_the_ledger() -> None:
    story = Story()
    for _ in range(KEPT.incidents + 1):
        story.write(AliasTampered(alias="champion", found_version="1", expected_version="2"))
    assert "incident-1" not in story.state.incidents
    assert find_incident(story.ledger, story.state, "incident-1").kind == "alias"
    assert len(recall_incidents(story.ledger)) == KEPT.incidents + 1


def test_what_the_ledger_cannot_see_a_person_reports_once_and_ends_and_it_is_written_up(
    worked_on: World,
) -> None:
    reported = report_incident(worked_on.app(), "p95 is 900 ms", by="anna")
    assert report_incident(worked_on.app(), "p95 is 900 ms", by="ben").id == reported.id
    assert (reported.kind, reported.version, reported.is_open) == ("reported", "2", True)
    worked_on.clock.advance(minutes=10)
    for by in ("anna", "ben"):
        ended = end_incident(worked_on.app(), reported.id, by=by, why="p95 is 90 ms")
        assert ended.restored_by == "anna: p95 is 90 ms"
    assert ended.time_to_restore == timedelta(minutes=10)
    timeline = read_timeline(worked_on.ledger, ended)
    assert [line.what for line in timeline] == ["alarm", "restored"]
    text = write_postmortem(ended, timeline, model_name="parts")
    assert "p95 is 900 ms" in text.splitlines()[0]
    assert report_incident(worked_on.app(), "p95 is 900 ms", by="anna").id != reported.id


def test_nobody_ends_an_incident_whose_condition_the_ledger_sees(worked_on: World) -> None:
    with pytest.raises(RefusedError, match="incident-2 is over once its condition is"):
        end_incident(worked_on.app(), "incident-2", by="anna", why="it looks well")
    assert find_incident(worked_on.ledger, worked_on.state, "incident-2").is_open


def test_the_same_person_acknowledges_once(worked_on: World) -> None:
    acknowledge_incident(worked_on.app(), "incident-1", by="anna")
    acknowledge_incident(worked_on.app(), "incident-1", by="ben")
    assert [one.by for one in worked_on.of_kind(IncidentAcknowledged)] == ["anna", "ben"]
    assert find_incident(worked_on.ledger, worked_on.state, "1").acknowledged_by == "anna"


def test_plain_data_hold_classes_times_and_the_runbook(worked_on: World) -> None:
    told = describe_incident(find_incident(worked_on.ledger, worked_on.state, "incident-1"))
    assert (told["classes"], told["version"], told["acknowledged_by"]) == (["bolt"], "1", "anna")
    assert told["seconds_to_detect"] == 600.0
    assert told["seconds_to_acknowledge"] == 0.0
    assert told["runbook"] == "docs/runbooks/drift.md#production-has-drifted"
    still_open = describe_incident(find_incident(worked_on.ledger, worked_on.state, "incident-2"))
    assert (still_open["restored_at"], still_open["seconds_to_restore"]) == (None, None)


def test_a_line_says_whether_somebody_looked(worked_on: World) -> None:
    line = incident_line(find_incident(worked_on.ledger, worked_on.state, "incident-2"))
    assert "nobody looked yet: cycle-2 was given up" in line


def test_the_times_are_medians_over_the_incidents_that_have_them(worked_on: World) -> None:
    detect, acknowledge, restore = measure_times(list(worked_on.state.incidents.values()))
    assert (detect.number, acknowledge.number, restore.number) == (2, 1, 1)
    assert detect.longest == timedelta(minutes=30)
    assert detect.median == timedelta(minutes=20)
    assert [one.number for one in measure_times([])] == [0, 0, 0]


def test_a_postmortem_holds_figures_timeline_and_questions_and_no_text_breaks_its_tables(
    worked_on: World,
) -> None:
    incident = find_incident(worked_on.ledger, worked_on.state, "incident-1")
    text = write_postmortem(incident, read_timeline(worked_on.ledger, incident), model_name="parts")
    lines = text.splitlines()
    assert lines[0].startswith("# incident-1: production has drifted")
    assert "| classes | bolt |" in lines
    assert "| detected | 2026-03-02 09:40 (at most 10 min unnoticed) |" in lines
    assert "| acknowledged | 2026-03-02 09:40, after 0 s, by anna |" in lines
    assert any(line.startswith("| restored | 2026-03-02 10:30, after 50 min: version 2") for line in lines)
    rows = [line for line in lines if line.startswith("| 2026")]
    assert len(rows) == 8
    assert {line.replace("\\|", "").count("|") for line in rows} == {6}
    assert "- 2026-03-02 09:50, ben: ben wrote down the action" in text
    assert "- [ ] Data: are labelled pictures of the new condition in the data now?" in lines


def test_a_postmortem_of_an_open_incident_says_what_is_unknown(worked_on: World) -> None:
    incident = find_incident(worked_on.ledger, worked_on.state, "incident-2")
    text = write_postmortem(incident, read_timeline(worked_on.ledger, incident), model_name="parts")
    assert "| acknowledged | nobody did yet |" in text
    assert "| restored | it goes on |" in text
    assert "*(unknown:" in text


def test_the_page_shows_every_incident_and_links_the_reports_that_are_there(worked_on: World) -> None:
    root = worked_on.workspace.root
    (root / "drift" / "w").mkdir(parents=True)
    (root / "drift" / "w" / "page.html").write_text("")
    page = write_incident_page(worked_on.app())
    text = page.read_text(encoding="utf-8")
    assert page == worked_on.workspace.incident_page
    assert 'href="../../drift/w/page.html"' in text
    assert 'id="incident-1"' in text
    assert 'id="incident-2"' in text
    assert "the lamp | over camera 3" in text
    assert "maskloop incidents acknowledge incident-2" in text
    assert 'src="http' not in text


def test_the_page_of_a_workspace_without_incidents_says_so(tmp_path: Path) -> None:
    page = write_incident_page(World(tmp_path / "workspace").app(), tmp_path / "page.html")
    assert "There was no incident" in page.read_text(encoding="utf-8")


def test_bars_lie_on_one_axis_and_follow_each_other(worked_on: World) -> None:
    incidents = recall_incidents(worked_on.ledger)
    rows = draw_bars(incidents, worked_on.clock.now())["rows"]
    first = rows["incident-1"]
    assert [bar.kind for bar in first] == ["unnoticed", "in-hand"]
    assert first[0].x == 0
    assert first[0].x + first[0].width == pytest.approx(first[1].x)
    assert [bar.kind for bar in rows["incident-2"]] == ["unnoticed"]
    assert all(0 <= bar.x <= 1000 for bars in rows.values() for bar in bars)
