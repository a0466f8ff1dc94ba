"""What the on-call view says is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flows.metrics.figure import Figure, Reading
from flows.notifications.notices import find_notices
from flows.views.problems import FIGURE_RUNBOOKS, find_problems
from flows.workspace.running import Running
from maskloop.records.kinds import NotificationFailed
from maskloop.settings.workspace_settings import Settings
from tests.fakes.incident_stories import Story
from tests.unit.flows.views.made import status_of

REPOSITORY = Path(__file__).resolve().parents[4]


def figure(name: str, *readings: Reading) -> Figure:
    return Figure(name, "p95 latency", "tail latency", "ms", "at most 250 ms", "now", "the service", readings)


def problems_of(story: Story, *figures: Figure) -> list[tuple[str, str]]:
    status = status_of(story)
    notices = find_notices(story.state, Settings(), story.clock.now())
    return [(one.headline, one.runbook) for one in find_problems(status, notices, figures)]


def test_a_drift_is_told_once_with_version_class_source_and_what_to_type() -> None:
    story = Story()
    story.serve("1")
    story.window("drift", drifted_features=("brightness", "count of bolt"))
    notices = find_notices(story.state, Settings(), story.clock.now())
    (problem,) = find_problems(status_of(story), notices, ())
    facts = dict(problem.facts)
    assert (facts["class"], facts["source"], facts["acknowledged"]) == ("bolt", "belt", "by nobody yet")
    assert problem.since == story.clock.now()
    assert problem.commands[0] == "maskloop incidents show incident-1"
    assert problem.runbook == "docs/runbooks/drift.md#production-has-drifted"


def test_a_missed_target_is_told_with_its_worst_readings() -> None:
    slow = figure("M1", Reading("version 1", 300.0, is_met=False), Reading("version 2", 90.0, is_met=True))
    assert problems_of(Story(), slow) == [
        ("M1 p95 latency misses its target: version 1 300 ms", FIGURE_RUNBOOKS["M1"])
    ]


def test_a_target_that_is_kept_or_not_measured_is_no_problem() -> None:
    assert problems_of(Story(), figure("M1", Reading("", 1.0, is_met=True)), figure("M6")) == []


def test_the_drift_figure_does_not_tell_a_drift_a_second_time() -> None:
    story = Story()
    story.serve("1")
    story.window("drift")
    assert len(problems_of(story, figure("M9", Reading("version 1", 0.8, is_met=False)))) == 1


def test_a_cycle_that_was_given_up_is_told_once() -> None:
    story = Story()
    story.serve("1")
    story.open_cycle("cycle-2", reason="manual")
    story.fail_cycle("cycle-2")
    ((headline, runbook),) = problems_of(story)
    assert headline.startswith("training: ")
    assert runbook == "docs/runbooks/training.md#a-training-was-given-up"


def test_dead_work_and_a_dead_channel_are_told() -> None:
    story = Story()
    failed = NotificationFailed(channel="mail", notice_id="drift:incident-1", attempt=2, reason="refused")
    story.write(failed)
    died = Running("cycle-1", "training", 3, 9, None, "host", 17)
    found = find_problems(replace(status_of(story), died=died), (), ())
    assert [one.commands for one in found] == [("maskloop reconcile",), ("maskloop notify test mail",)]
    assert found[1].since == story.clock.now()


@pytest.mark.parametrize("runbook", sorted(set(FIGURE_RUNBOOKS.values())))
def test_the_runbook_of_a_figure_has_its_section(runbook: str) -> None:
    path, _, anchor = runbook.partition("#")
    headings = [line for line in (REPOSITORY / path).read_text().splitlines() if line.startswith("#")]
    assert anchor in {line.lstrip("# ").lower().replace(" ", "-") for line in headings}
