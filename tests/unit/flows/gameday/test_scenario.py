"""What a game day calls handled: every phase was seen, and what was missed is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.gameday.scenario import NEEDED, Phase, Scenario, Stage, UnhandledError, conclude
from tests.fakes.loop_world import World


@pytest.fixture
def stage(world: World) -> Stage:
    return Stage(world.app, now_s=lambda: world.clock.now().timestamp())


def a_scenario(play: Callable[[Stage], None]) -> Scenario:
    return Scenario("F9", "Moths", "a moth", "a light", "a net", "no moth", play)


def see_all(stage: Stage, world: World, *, but: Phase | None = None) -> None:
    stage.inject("a moth", "it is in")
    for phase in NEEDED:
        world.clock.advance(minutes=1)
        stage.look("detected", "a look", "nothing to be seen yet")
        stage.see(phase, f"by {phase}", "it is seen", is_seen=phase != but)


def test_a_failure_that_was_seen_to_its_end_is_handled_with_its_times(stage: Stage, world: World) -> None:
    see_all(stage, world)
    found = conclude(a_scenario(lambda _: None), stage, seconds=300.0)
    assert (found.outcome, found.detect_s, found.restore_s) == ("handled", 60.0, 120.0)
    assert (found.num_detecting, found.num_restoring) == (2, 5)


@pytest.mark.parametrize("phase", NEEDED)
def test_whatever_was_not_seen_is_the_outcome_and_ends_the_scenario(
    stage: Stage, world: World, phase: Phase
) -> None:
    with pytest.raises(UnhandledError, match=f"by {phase}: it is seen"):
        see_all(stage, world, but=phase)
    found = conclude(a_scenario(lambda _: None), stage, seconds=1.0, trouble="it was dark")
    assert found.outcome == f"not {phase}"
    assert found.trouble == "it was dark"
    assert (found.detect_s is None) == (phase == "detected")


def test_an_incident_from_before_the_failure_does_not_count_as_its_detection(
    stage: Stage, world: World
) -> None:
    stage.report("p95 is 900 ms")
    stage.inject("other processes", "they compute")
    with pytest.raises(UnhandledError, match="no new incident of kind reported"):
        stage.find_opened("reported")
    stage.report("p95 is 1900 ms")
    assert stage.find_opened("reported").headline == "p95 is 1900 ms"


def test_a_failure_is_written_up_with_cause_and_action_once_it_is_over(
    stage: Stage, world: World, tmp_path: Path
) -> None:
    stage.inject("other processes", "they compute")
    stage.report("p95 is 900 ms")
    with pytest.raises(UnhandledError, match="postmortem"):
        stage.write_up(cause="a neighbour", action="it was moved")
    stage.write_up(cause="a neighbour", action="it was moved", ended="p95 is 90 ms")
    (file,) = (world.workspace.reports_dir / "gameday").iterdir()
    assert file.read_text(encoding="utf-8") == stage.postmortem
    assert "it was moved" in stage.postmortem
