"""F4 and F6 over fakes of every port: what faulty challengers answer is really compared and analysed."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.gameday.challengers import play_false_positives, play_wrong_masks
from flows.gameday.gameday import SCENARIOS
from flows.gameday.scenario import Stage, UnhandledError, conclude
from tests.fakes.loop_stories import first_champion
from tests.fakes.loop_world import World
from tests.fakes.rollout_world import ROLLOUT


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    world = World(tmp_path / "workspace", rollout=ROLLOUT)
    world.label(range(120))
    first_champion(world)
    return Stage(world.app)


def test_a_challenger_with_wrong_masks_is_stopped_and_a_mended_one_is_not(stage: Stage) -> None:
    play_wrong_masks(stage)
    found = conclude(SCENARIOS[5], stage, seconds=1.0)
    assert found.outcome == "handled"
    assert "agreement" in next(one.said for one in stage.steps if one.phase == "detected")
    assert stage.app.state().incidents[found.incident].kind == "rollout"


def test_a_challenger_that_answers_like_the_champion_is_not_called_detected(stage: Stage) -> None:
    """The fake model has no detection below its threshold, so lowering that changes nothing."""
    with pytest.raises(UnhandledError, match="no check failed"):
        play_false_positives(stage)
    assert conclude(SCENARIOS[3], stage, seconds=1.0).outcome == "not detected"
