"""Figures of a plan come from the workspace where it has any, and say so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flows.capacity.measuring import DEFAULTS, measure_figures
from serving.telemetry.reading import ServiceFigures
from tests.fakes.loop_stories import first_champion
from tests.fakes.loop_world import World

RESULTS = (Path(__file__).resolve().parents[4] / "docs/results.md").read_text(encoding="utf-8")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "workspace")


def test_a_new_workspace_has_figures_from_elsewhere_alone(world: World) -> None:
    figures = measure_figures(world.app())
    assert figures == DEFAULTS
    assert not any(known.is_measured_here for known in figures.all().values())


def test_judging_gives_the_times_of_the_model(world: World) -> None:
    world.label(range(12))
    first_champion(world)
    figures = measure_figures(world.app())

    assert figures.p95_ms.is_measured_here
    assert figures.p95_ms.source.startswith("judging of version 1")
    assert not figures.pictures_per_s.is_measured_here, "the service's share of it is another machine's"
    assert "times 0.8" in figures.pictures_per_s.source


def test_answers_of_the_service_say_more_than_judging(world: World) -> None:
    world.label(range(12))
    first_champion(world)
    buckets = [(0.02, 0.0), (0.04, 190.0), (0.08, 200.0), (float("inf"), 200.0)]
    service = ServiceFigures(champion="1", latency_s={"1": buckets})
    figures = measure_figures(world.app(), service)

    assert figures.p95_ms.value == pytest.approx(40.0)
    assert figures.p95_ms.source.startswith("the service's /metrics")


def test_a_few_answers_say_nothing_about_a_twentieth(world: World) -> None:
    few = ServiceFigures(champion="1", latency_s={"1": [(0.04, 9.0), (float("inf"), 9.0)]})
    assert measure_figures(world.app(), few) == DEFAULTS


def test_kept_pictures_give_the_size_of_a_picture(world: World) -> None:
    folder = world.app().workspace.samples_dir / "pictures" / "00"
    folder.mkdir(parents=True)
    for number, num_bytes in enumerate((1000, 3000)):
        (folder / f"{number}.png").write_bytes(bytes(num_bytes))
    size = measure_figures(world.app()).picture_bytes

    assert (size.value, size.is_measured_here) == (2000.0, True)
    assert replace(measure_figures(world.app()), picture_bytes=DEFAULTS.picture_bytes) == DEFAULTS


def test_figures_from_the_results_stand_there() -> None:
    assert f"| {DEFAULTS.pictures_per_s.value:g} |" in RESULTS
    assert "38.9" in RESULTS
    assert DEFAULTS.p95_ms.value == pytest.approx(1.5 * 38.9, abs=0.5)
    assert f"{DEFAULTS.sample_bytes.value / 1000:g} kB for each sample" in RESULTS
    assert f"{DEFAULTS.version_bytes.value / 1e6:g} MB for each version" in RESULTS
