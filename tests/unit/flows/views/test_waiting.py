"""The queue of a workspace: who is waited for."""

from __future__ import annotations

from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.notifications.notices import find_notices
from flows.pages.status import describe_status
from flows.views.waiting import Waiting, find_waiting
from tests.fakes.incident_stories import Story
from tests.fakes.loop_world import World
from tests.unit.flows.views.made import status_of


def queue(world: World) -> tuple[Waiting, ...]:
    status = describe_status(world.app())
    return find_waiting(status, find_notices(status.state, world.app().settings, world.clock.now()))


def test_an_approval_waits_for_a_reviewer_with_command_and_page(world: World) -> None:
    run_turn(world.app(), starts_from="first-weights")
    reconcile(world.app())
    (first,) = queue(world)
    assert (first.what, first.party, first.is_for_a_person) == (
        "cycle-1: approval of version 1",
        "a reviewer",
        True,
    )
    assert first.command == "maskloop approve 1 --by NAME"
    assert first.page == "evidence on version 1"
    assert first.since == world.clock.now()


def test_an_incident_waits_until_somebody_acknowledges_it() -> None:
    story = Story()
    story.serve("1")
    story.window("drift")
    (first,) = find_waiting(status_of(story))
    assert (first.party, first.command) == ("the person on call", "maskloop incidents acknowledge incident-1")


def test_people_come_before_the_loop_and_the_longest_wait_first() -> None:
    story = Story()
    story.serve("1")
    story.window("drift")
    status = status_of(story, pending=7)
    found = find_waiting(status, num_feedback_waiting=2)
    assert [one.party for one in found] == ["the person on call", "the person on call", "more pictures"]
    assert [one.what for one in found][1:] == [
        "2 corrections to become labels",
        "7 samples of production, not judged yet",
    ]


def test_nothing_waits_in_an_empty_workspace(world: World) -> None:
    assert queue(world) == ()
