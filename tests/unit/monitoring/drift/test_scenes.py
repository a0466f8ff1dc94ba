"""How many scenes the samples of a window show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.baseline import Baseline, build_baseline
from monitoring.drift.references import POOLED
from monitoring.drift.scenes import find_first_looks, find_scenes, independent_spacing
from monitoring.drift.sources import judge_window
from monitoring.drift.verdict import judge_drift, waits_for_scenes
from monitoring.features.observation import Observation
from monitoring.samples.windows import Window
from tests.fakes.drift_data import baseline_of, draw, window_of

SETTINGS = MonitoringSettings(window_samples=400)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def with_looks(rng: np.random.Generator, seen: list[Observation]) -> list[Observation]:
    return [replace(one, difference_hash=int(rng.integers(2**63))) for one in seen]


def frames(
    rng: np.random.Generator, num_scenes: int, num_frames: int, *, likeness: float
) -> list[Observation]:
    """Draw frames that share ``likeness`` of the variance of each feature by scene."""
    own = draw(rng, num_scenes * num_frames)
    of_scene = [one for one in draw(rng, num_scenes) for _ in range(num_frames)]
    weights = np.sqrt([likeness, 1.0 - likeness])
    return [
        Observation(
            {
                name: float(weights @ [scene.features[name] or 0.0, one.features[name] or 0.0])
                for name in one.features
            },
            tuple((weights @ [scene.embedding or (), one.embedding or ()]).tolist()),
        )
        for scene, one in zip(of_scene, own, strict=True)
    ]


def copies(seen: list[Observation], num: int) -> list[Observation]:
    """Repeat each picture with another bit or two of its look changed."""
    return [
        replace(one, difference_hash=(one.difference_hash or 0) ^ (1 << copy))
        for one in seen
        for copy in range(num)
    ]


def test_independent_samples_are_a_scene_each(rng: np.random.Generator) -> None:
    found = [find_scenes(window_of(draw(rng, 100)).samples, baseline_of(draw(rng, 80))) for _ in range(30)]
    assert sum(one.num_scenes == 100 for one in found) >= 27


@pytest.mark.parametrize(("num_scenes", "num_frames"), [(40, 5), (25, 8), (100, 2)])
def test_frames_in_a_row_count_as_about_their_scenes(
    rng: np.random.Generator, num_scenes: int, num_frames: int
) -> None:
    window = window_of(frames(rng, num_scenes, num_frames, likeness=0.7))
    found = find_scenes(window.samples, baseline_of(draw(rng, 80)))
    assert 0.7 * num_scenes <= found.num_scenes <= 1.4 * num_scenes


def test_both_directions_of_time_give_as_many_scenes(rng: np.random.Generator) -> None:
    window, baseline = window_of(frames(rng, 30, 4, likeness=0.8)), baseline_of(draw(rng, 80))
    backwards = tuple(reversed(window.samples))
    assert find_scenes(window.samples, baseline).spacing == find_scenes(backwards, baseline).spacing


def test_near_duplicates_in_any_order_are_one_scene(rng: np.random.Generator) -> None:
    baseline = build_baseline(with_looks(rng, draw(rng, 80)), weights_digest="w1", data_fingerprint="f1")
    seen = copies(with_looks(rng, draw(rng, 60)), 3)
    mixed = [seen[number] for number in rng.permutation(len(seen))]
    assert find_scenes(window_of(mixed).samples, baseline).num_scenes == 60


def test_near_duplicates_of_two_sources_are_two_scenes(rng: np.random.Generator) -> None:
    baseline = build_baseline(with_looks(rng, draw(rng, 80)), weights_digest="w1", data_fingerprint="f1")
    seen = copies(with_looks(rng, draw(rng, 3)), 2)
    samples = window_of(seen).samples
    apart = tuple(replace(one, source=f"camera {number % 2}") for number, one in enumerate(samples))
    assert (find_scenes(samples, baseline).num_scenes, find_scenes(apart, baseline).num_scenes) == (3, 6)


def test_looks_tell_nothing_where_the_champions_own_pictures_all_look_alike(rng: np.random.Generator) -> None:
    """A camera above a belt sees one background; its pictures are of different scenes nevertheless."""
    alike = [replace(one, difference_hash=7) for one in draw(rng, 80)]
    baseline = build_baseline(alike, weights_digest="w1", data_fingerprint="f1")
    window = window_of([replace(one, difference_hash=7) for one in draw(rng, 60)])
    assert find_scenes(window.samples, baseline).num_scenes == 60


def test_without_looks_in_the_baseline_those_of_the_samples_are_not_asked(rng: np.random.Generator) -> None:
    window = window_of([replace(one, difference_hash=7) for one in draw(rng, 60)])
    assert find_scenes(window.samples, baseline_of(draw(rng, 80))).num_scenes == 60


@pytest.mark.parametrize("value", [1.0, None, float("nan")])
def test_samples_that_tell_nothing_apart_are_taken_as_they_are(value: float | None) -> None:
    same = [Observation({"noise": value}) for _ in range(60)]
    assert find_scenes(window_of(same).samples, baseline_of(same)).num_scenes == 60


def test_no_sample_and_one_sample_are_no_scene_and_one(rng: np.random.Generator) -> None:
    baseline = baseline_of(draw(rng, 80))
    assert find_scenes((), baseline).positions == ()
    assert find_scenes(window_of(draw(rng, 1)).samples, baseline).positions == (0,)


def test_samples_of_several_cameras_are_compared_with_those_of_the_same_one(rng: np.random.Generator) -> None:
    """Two cameras that take turns, one far from the other: each alone is independent."""
    seen = [one for pair in zip(draw(rng, 60), draw(rng, 60, shift_sd=4.0), strict=True) for one in pair]
    samples = window_of(seen).samples
    apart = tuple(replace(one, source=f"camera {number % 2}") for number, one in enumerate(samples))
    assert find_scenes(apart, baseline_of(draw(rng, 80))).num_scenes == 120


def test_a_slow_signal_leaves_few_scenes() -> None:
    slow = np.linspace(0.0, 1.0, 60)[:, np.newaxis]
    assert independent_spacing([slow], [np.zeros((60, 0))]) >= 5


def test_too_few_scenes_are_inconclusive_and_say_how_many_samples_would_do(rng: np.random.Generator) -> None:
    window = window_of(frames(rng, 20, 5, likeness=0.9))
    verdict = judge_drift(baseline_of(draw(rng, 80)), window, SETTINGS)
    assert verdict.outcome == "inconclusive"
    assert verdict.reason.startswith(
        f"100 samples, about {verdict.num_scenes} scenes, and a verdict needs 45"
    )
    assert waits_for_scenes(verdict, SETTINGS)
    full = SETTINGS.model_copy(update={"window_samples": 100})
    assert not waits_for_scenes(verdict, full)
    assert "monitoring.window_samples is 100" in judge_drift(baseline_of(draw(rng, 80)), window, full).reason


def test_one_picture_of_each_scene_of_the_baseline_is_compared(rng: np.random.Generator) -> None:
    own = [replace(one, scene=f"scene {number // 4}") for number, one in enumerate(draw(rng, 320))]
    baseline = build_baseline(own, weights_digest="w1", data_fingerprint="f1")
    verdict = judge_drift(baseline, window_of(draw(rng, 60)), SETTINGS)
    assert (verdict.num_reference, verdict.num_reference_scenes) == (320, 80)
    assert {signal.num_reference for signal in verdict.signals} == {80}


def test_frames_are_no_alarm_and_another_camera_is(rng: np.random.Generator) -> None:
    """At a stated 1 %, 40 windows of 60 scenes give at most 2 alarms, and every real change is seen."""
    outcomes = {shift: [0, 0] for shift in (0.0, 1.2)}
    for _ in range(40):
        for shift, found in outcomes.items():
            moved = [
                replace(
                    one,
                    features={name: (value or 0.0) + shift for name, value in one.features.items()},
                    embedding=tuple(value + shift for value in one.embedding or ()),
                )
                for one in frames(rng, 60, 5, likeness=0.8)
            ]
            verdict = judge_drift(baseline_of(frames(rng, 100, 1, likeness=0.8)), window_of(moved), SETTINGS)
            found[0] += verdict.outcome == "drift"
            found[1] += verdict.outcome != "inconclusive"
    assert outcomes[0.0][0] <= 2
    assert outcomes[1.2][0] == outcomes[1.2][1] >= 34


def test_the_scenes_of_a_window_do_not_depend_on_the_reference_it_is_compared_with(
    rng: np.random.Generator,
) -> None:
    references: dict[str, Baseline] = {POOLED: baseline_of(draw(rng, 100)), "b": baseline_of(draw(rng, 60))}
    window: Window = window_of(frames(rng, 60, 3, likeness=0.8))
    found = judge_window(references, window, SETTINGS).deciding
    assert found.verdict.num_scenes == find_scenes(window.samples, references[POOLED]).num_scenes


def test_frames_whose_hashes_are_mostly_noise_are_tied_by_their_embeddings(rng: np.random.Generator) -> None:
    baseline = baseline_of(with_looks(rng, draw(rng, 100)))
    scenes = with_looks(rng, draw(rng, 20))
    frames_of_dark_scenes = [
        replace(
            one,
            embedding=tuple((np.asarray(one.embedding) + 0.01 * rng.normal(size=8)).tolist()),
            difference_hash=(one.difference_hash or 0) ^ (0b1111111 << 7 * frame),
        )
        for one in scenes
        for frame in range(5)
    ]
    shuffled = [frames_of_dark_scenes[place] for place in rng.permutation(100)]
    assert find_scenes(window_of(shuffled).samples, baseline).num_scenes == 20
    unlike = [replace(one, embedding=None) for one in shuffled]
    assert len(find_first_looks(window_of(unlike).samples, baseline)) == 100
