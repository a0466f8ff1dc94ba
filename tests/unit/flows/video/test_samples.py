"""Frames as production samples: apart in time, each once, and of one scene where they show one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.videos.frames import Frame
from flows.video.samples import NoSamples, SpacedSamples
from monitoring.drift.scenes import find_first_looks
from registry.champion.serving_copy import ServedModel
from tests.fakes.drift_data import baseline_of, draw
from tests.fakes.ledger import FakeClock
from tests.fakes.model_ports import ColourPredictor
from tests.fakes.sample_log import FakeSampleLog

SERVED = ServedModel(Path("nowhere"), "3", "w1", "")
SIDE_PX = 64
Shown = Callable[[int], np.ndarray]


def scene(seed: int) -> np.ndarray:
    """A smooth picture unlike those of other seeds, without anything to find."""
    coarse = np.random.default_rng(seed).integers(0, 120, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)).clip(
        0, 120
    )


def film(shows: Shown, num_frames: int) -> list[Frame]:
    """Frames at 10 a second, each with a little grain."""
    rng = np.random.default_rng(5)
    return [
        Frame(number, number / 10, shows(number) + rng.integers(0, 3, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8))
        for number in range(num_frames)
    ]


def take(frames: list[Frame], log: FakeSampleLog, gap_s: float, last_s: float | None = None) -> list[float]:
    predictor = ColourPredictor(1.0, weights_digest="w1")
    samples = SpacedSamples(log, FakeClock(), SERVED, predictor, "belt", gap_s)
    samples.go_on_from(last_s)
    taken = []
    for frame in frames:
        if samples.is_due(frame) and frame.pixels is not None:
            samples.log(frame, frame.pixels, predictor.predict([frame.pixels])[0])
            taken.append(frame.time_s)
    return taken


def still(_number: int) -> np.ndarray:
    return scene(1)


def test_samples_lie_a_gap_or_more_apart_across_a_restart_too() -> None:
    assert take(film(still, 40), FakeSampleLog(), 1.5) == [0.0, 1.5, 3.0]
    assert take(film(still, 40)[20:], FakeSampleLog(), 1.5, last_s=1.5) == [3.0]


def test_taking_frames_again_changes_nothing() -> None:
    log = FakeSampleLog()
    take(film(still, 20), log, 0.5)
    take(film(still, 20), log, 0.5)
    assert log.counts().received == 4


def test_frames_that_may_be_smeared_are_left_out() -> None:
    frames = [replace(frame, is_doubtful=frame.number < 7) for frame in film(still, 20)]
    assert take(frames, FakeSampleLog(), 1.0) == [0.7, 1.7]


def test_without_samples_nothing_is_due() -> None:
    assert not NoSamples().is_due(film(still, 1)[0])


@pytest.mark.parametrize(("num_scenes", "frames_each"), [(1, 30), (3, 10)])
def test_the_drift_verdict_counts_what_a_video_shows_and_not_its_samples(
    num_scenes: int, frames_each: int
) -> None:
    log = FakeSampleLog()
    num = num_scenes * frames_each
    take(film(lambda number: scene(number // frames_each), num), log, 0.2)
    samples = log.newest(100)[::-1]
    looks = np.random.default_rng(2).integers(0, 2**64, 60, dtype=np.uint64)
    seen = [
        replace(one, difference_hash=int(look))
        for one, look in zip(draw(np.random.default_rng(2), 60, embedded=False), looks, strict=True)
    ]
    assert len(samples) == num // 2
    assert len(find_first_looks(samples, baseline_of(seen))) == num_scenes
