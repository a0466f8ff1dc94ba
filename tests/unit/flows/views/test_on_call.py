"""The on-call view: sources, stages, what changed last."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flows.views.history import CycleTimes, read_history
from flows.views.on_call import MAX_DEPLOYMENTS, divide, find_sources, make_on_call
from tests.fakes.incident_stories import Story
from tests.unit.flows.views.made import facts_of

BEGAN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def cycle(**minutes: int) -> CycleTimes:
    times: dict[str, Any] = {name: BEGAN + timedelta(minutes=after) for name, after in minutes.items()}
    return CycleTimes("cycle-1", "manual", "", BEGAN, **times)


def stages(times: CycleTimes, *, now_min: int = 100) -> list[tuple[str, float]]:
    line = divide(times, BEGAN + timedelta(minutes=now_min))
    return [(one.name, one.seconds / 60) for one in line.stages]


def test_a_cycle_is_divided_into_its_stages() -> None:
    whole = cycle(training_at=1, candidate_at=11, judged_at=13, decided_at=33, closed_at=34)
    assert stages(whole) == [
        ("before the training", 1),
        ("training", 10),
        ("judging", 2),
        ("decision", 20),
        ("rollout and promotion", 1),
    ]
    assert divide(whole, BEGAN).seconds == 34 * 60


def test_an_open_cycle_lasts_until_now_and_a_failed_one_ends_in_its_training() -> None:
    assert stages(cycle(training_at=1)) == [("before the training", 1), ("training", 99)]
    assert stages(cycle(training_at=1, closed_at=6))[-1] == ("training", 5)


def test_a_cycle_that_judges_again_has_no_training() -> None:
    assert stages(cycle(judged_at=4, closed_at=4)) == [("judging", 4)]


def test_each_source_has_the_newest_verdict_it_took_part_in_and_the_drifted_come_first() -> None:
    story = Story()
    both: dict[str, Any] = {
        "sources": ("belt", "hall"),
        "drifted_sources": ("hall",),
        "drifted_since": BEGAN.isoformat(),
    }
    story.window("drift", source="", **both)
    story.window("quiet", source="belt")
    found = find_sources(read_history(story.ledger).windows)
    assert [(one.source, one.outcome, one.has_drifted, one.since) for one in found] == [
        ("hall", "drift", True, BEGAN),
        ("belt", "quiet", False, None),
    ]


def test_the_only_source_of_a_window_that_drifted_has_drifted() -> None:
    story = Story()
    story.window("drift", source="belt")
    assert find_sources(read_history(story.ledger).windows)[0].has_drifted


def test_the_newest_changes_and_failures_come_first() -> None:
    story = Story()
    for number in range(MAX_DEPLOYMENTS + 2):
        story.serve(str(number), epoch=number + 1)
    story.open_cycle("cycle-1")
    story.fail_cycle("cycle-1", attempts=2)
    view = make_on_call(facts_of(story))
    assert len(view.deployments) == MAX_DEPLOYMENTS
    assert view.deployments[0].version == str(MAX_DEPLOYMENTS + 1)
    assert [one.failure for one in view.failures] == ["out of memory"] * 2
    assert view.headline == "1 thing is wrong"


def test_nothing_wrong_is_said() -> None:
    view = make_on_call(facts_of(Story()))
    assert (view.headline, view.problems) == ("Nothing is wrong, as far as record and figures tell", ())
