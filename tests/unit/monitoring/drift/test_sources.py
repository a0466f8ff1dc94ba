"""A window of several sources, judged as a whole and source by source."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.baseline import Baseline
from monitoring.drift.references import POOLED
from monitoring.drift.sources import JudgedSources, judge_window
from monitoring.drift.verdict import threshold_digest
from monitoring.features.observation import Observation
from monitoring.samples.windows import Window
from tests.fakes.drift_data import baseline_of, draw, window_of

SETTINGS = MonitoringSettings()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(8)


def mixed(rng: np.random.Generator, parts: dict[str, list[Observation]]) -> Window:
    """Return the pictures of several sources in a random order, a minute apart."""
    told = [(source, one) for source, seen in parts.items() for one in seen]
    told = [told[number] for number in rng.permutation(len(told))]
    samples = window_of([one for _, one in told]).samples
    return Window(
        "w1",
        tuple(
            replace(sample, source=source, received_at=sample.received_at - timedelta(minutes=number))
            for number, (sample, (source, _)) in enumerate(zip(samples, told, strict=True))
        ),
    )


def one_camera(rng: np.random.Generator) -> dict[str, Baseline]:
    return {POOLED: baseline_of(draw(rng, 120))}


def two_cameras(rng: np.random.Generator) -> dict[str, Baseline]:
    first, second = draw(rng, 100), draw(rng, 100, shift_sd=2.0)
    return {
        POOLED: baseline_of([*first, *second]),
        "camera 1": baseline_of(first),
        "camera 2": baseline_of(second),
    }


def new_camera(rng: np.random.Generator, *, named: bool) -> JudgedSources:
    """Judge 160 samples as ever and 40 of a camera that moves every feature by 1.5 standard deviations."""
    name = "camera 9" if named else "camera 1"
    parts = {"camera 1": draw(rng, 160), name: draw(rng, 40, shift_sd=1.5)}
    if not named:
        parts = {"camera 1": [*draw(rng, 160), *draw(rng, 40, shift_sd=1.5)]}
    return judge_window(one_camera(rng), mixed(rng, parts), SETTINGS)


def test_a_new_camera_that_sends_a_fifth_of_the_window_is_seen_and_named(rng: np.random.Generator) -> None:
    found = [new_camera(rng, named=True) for _ in range(15)]
    assert sum([one.source for one in judged.drifted] == ["camera 9"] for judged in found) >= 14
    verdict = found[0].deciding.verdict
    assert verdict.outcome == "drift"
    assert verdict.reason.startswith("camera 9 (40 of 200 samples, 20 %, since 2026-03-01 ")
    assert "UTC or earlier, version 3): " in verdict.reason
    assert verdict.cause.startswith("camera 9 (40 of 200 samples")
    assert (verdict.num_samples, verdict.threshold_digest) == (200, threshold_digest(SETTINGS))


def test_quiet_sources_are_no_alarm(rng: np.random.Generator) -> None:
    """At a stated 1 %, 30 windows of four sources give at most 2 alarms."""
    alarms = 0
    for _ in range(30):
        window = mixed(rng, {f"camera {number}": draw(rng, 50) for number in range(4)})
        alarms += judge_window(one_camera(rng), window, SETTINGS).deciding.verdict.outcome == "drift"
    assert alarms <= 2


def test_known_sources_in_new_proportions_are_a_change_of_mix(rng: np.random.Generator) -> None:
    window = mixed(rng, {"camera 1": draw(rng, 30), "camera 2": draw(rng, 170, shift_sd=2.0)})
    found = judge_window(two_cameras(rng), window, SETTINGS)
    assert found.deciding.verdict.outcome == "quiet"
    assert found.drifted == ()
    mixed_up = replace(window, samples=tuple(replace(one, source="all") for one in window.samples))
    alone = judge_window(two_cameras(rng), mixed_up, SETTINGS)
    if alone.deciding.verdict.outcome == "drift":
        assert "the mix of known sources changed (camera 2 50 % → 85 %" in found.deciding.verdict.reason


def test_a_mix_that_fits_no_single_reference_is_told_with_its_shares(rng: np.random.Generator) -> None:
    """70 % of the samples are of a camera that has 10 % of the champion's pictures."""
    first, second = draw(rng, 450), draw(rng, 60, shift_sd=3.0)
    references = {
        POOLED: baseline_of([*first, *second]),
        "camera 1": baseline_of(first),
        "camera 2": baseline_of(second),
    }
    window = mixed(rng, {"camera 1": draw(rng, 80), "camera 2": draw(rng, 120, shift_sd=3.0)})
    verdict = judge_window(references, window, SETTINGS).deciding.verdict
    assert verdict.outcome == "quiet"
    assert verdict.reason == (
        "the mix of known sources changed (camera 2 12 % → 60 %, camera 1 88 % → 40 %), and each is as it was"
    )


def test_a_source_with_too_few_pictures_of_its_own_is_not_judged_by_itself(rng: np.random.Generator) -> None:
    references = one_camera(rng)
    window = mixed(rng, {"camera 1": draw(rng, 160), "camera 5": draw(rng, 40, shift_sd=1.5)})
    found = judge_window(references, window, SETTINGS, known_sources={"camera 1", "camera 5"})
    assert [one.why_not for one in found.sources] == ["too few of the champion's own pictures"] * 2
    assert found.drifted == ()


def test_few_samples_of_a_source_are_named_as_too_few(rng: np.random.Generator) -> None:
    window = mixed(rng, {"camera 1": draw(rng, 181), "camera 9": draw(rng, 19, shift_sd=5.0)})
    found = judge_window(one_camera(rng), window, SETTINGS)
    assert [one.source for one in found.sources] == ["camera 1", "camera 9"]
    assert found.sources[1].why_not == "too few scenes: about 19 of 20"


def test_frames_of_a_source_need_as_many_scenes_as_a_window(rng: np.random.Generator) -> None:
    film = [one for one in draw(rng, 12, shift_sd=1.0) for _ in range(5)]
    window = window_of([*draw(rng, 140), *film])
    told = replace(
        window,
        samples=tuple(
            replace(one, source="film" if number >= 140 else "camera 1")
            for number, one in enumerate(window.samples)
        ),
    )
    found = judge_window(one_camera(rng), told, SETTINGS)
    assert found.drifted == ()
    assert found.sources[1].why_not.endswith("of 45")


def test_samples_of_one_source_are_judged_once(rng: np.random.Generator) -> None:
    found = judge_window(one_camera(rng), window_of(draw(rng, 60)), SETTINGS)
    assert found.sources == ()
    assert found.deciding.verdict.outcome == "quiet"


def test_samples_without_a_source_are_of_one(rng: np.random.Generator) -> None:
    window = window_of(draw(rng, 60, shift_sd=1.5))
    unnamed = replace(window, samples=tuple(replace(one, source="") for one in window.samples))
    assert judge_window(one_camera(rng), unnamed, SETTINGS).deciding.verdict.outcome == "drift"
