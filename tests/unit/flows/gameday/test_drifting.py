"""F2 over fakes of every port: what another camera does, and what is not called detected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flows.drift.monitor import Monitored
from flows.gameday.drifting import play_drift, tell_quality
from flows.gameday.gameday import SCENARIOS
from flows.gameday.production import through_another_camera
from flows.gameday.scenario import Stage, UnhandledError, conclude
from tests.fakes.loop_stories import first_champion
from tests.fakes.loop_world import World

MONITORING = """
[monitoring]
window_samples = 100
min_window_samples = 50
"""


def test_another_camera_is_darker_and_yellower_and_the_same_each_time() -> None:
    grey = np.full((32, 32, 3), 200, np.uint8)
    seen = through_another_camera(grey, np.random.default_rng(1))
    red, green, blue = seen.mean(axis=(0, 1))
    assert 200 > red > green > blue
    assert np.array_equal(seen, through_another_camera(grey, np.random.default_rng(1)))


def test_without_a_verdict_there_is_no_estimate() -> None:
    assert tell_quality(Monitored(None, 3, "", "3 new samples so far")) == "no estimate without a verdict"


def test_too_few_held_out_pictures_for_a_window_and_a_reference_are_refused(tmp_path: Path) -> None:
    world = World(tmp_path / "workspace", settings=MONITORING)
    world.label(range(60))
    first_champion(world)
    with pytest.raises(UnhandledError, match=r"30 held-out pictures are too few.*110 are needed"):
        play_drift(Stage(world.app))


def test_pictures_that_show_too_few_scenes_are_not_called_detected(tmp_path: Path) -> None:
    """The fakes' pictures look alike, so a window of them says nothing, whatever the camera."""
    world = World(tmp_path / "workspace", settings=MONITORING)
    world.label(range(240))
    first_champion(world)
    stage = Stage(world.app)
    with pytest.raises(UnhandledError, match="a verdict needs 45 scenes"):
        play_drift(stage)
    assert conclude(SCENARIOS[1], stage, seconds=1.0).outcome == "not detected"
