"""Production compared with each of the champion's sources."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.references import POOLED, load_references, save_references
from monitoring.drift.sources import judge_window
from tests.fakes.drift_data import baseline_of, draw, window_of

SETTINGS = MonitoringSettings()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def references_of(rng: np.random.Generator, *, num: int = 100) -> dict:  # type: ignore[type-arg]
    first, second = draw(rng, num), draw(rng, num, shift_sd=3.0)
    return {
        POOLED: baseline_of([*first, *second]),
        "camera 1": baseline_of(first),
        "camera 2": baseline_of(second),
    }


@pytest.mark.parametrize(("shift_sd", "closest"), [(0.0, "camera 1"), (3.0, "camera 2")])
def test_production_like_one_known_source_is_quiet_and_that_source_is_named(
    rng: np.random.Generator, shift_sd: float, closest: str
) -> None:
    found = judge_window(references_of(rng), window_of(draw(rng, 100, shift_sd=shift_sd)), SETTINGS).deciding
    assert (found.verdict.outcome, found.name) == ("quiet", closest)


def test_production_like_no_known_source_is_drift(rng: np.random.Generator) -> None:
    found = judge_window(references_of(rng), window_of(draw(rng, 100, shift_sd=7.0)), SETTINGS).deciding
    assert found.verdict.outcome == "drift"
    assert found.verdict.num_drifted >= SETTINGS.min_drifted_features


def test_without_the_other_source_the_same_window_is_drift(rng: np.random.Generator) -> None:
    only_first = {POOLED: baseline_of(draw(rng, 100))}
    found = judge_window(only_first, window_of(draw(rng, 100, shift_sd=3.0)), SETTINGS).deciding
    assert (found.verdict.outcome, found.name) == ("drift", POOLED)


def test_too_few_samples_are_inconclusive_against_all_sources(rng: np.random.Generator) -> None:
    few = window_of(draw(rng, SETTINGS.min_window_samples - 1))
    assert judge_window(references_of(rng), few, SETTINGS).deciding.verdict.outcome == "inconclusive"


def test_samples_of_other_weights_are_never_quiet(rng: np.random.Generator) -> None:
    other = window_of(draw(rng, 100), weights_digest="w2")
    assert judge_window(references_of(rng), other, SETTINGS).deciding.verdict.outcome == "inconclusive"


def test_references_of_sources_that_no_file_could_be_called_after_are_found_again(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    names = [POOLED, "belt/2", "belt_2", "..", "x" * 300]
    made = {name: baseline_of(draw(rng, 30)) for name in names}
    save_references(tmp_path, made)
    found = load_references(tmp_path)
    assert {name: one.digest for name, one in found.items()} == {
        name: one.digest for name, one in made.items()
    }
