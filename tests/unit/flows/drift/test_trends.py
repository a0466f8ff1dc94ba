"""The features of production over time: what a person sees, and what is said about odd samples."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.drift.monitor import monitor
from flows.drift.trends import keep_sketches, open_references, show_trends
from maskloop.errors import DataError, StorageError
from monitoring.drift.baseline import Baseline, build_baseline
from monitoring.drift.references import POOLED, save_references
from monitoring.features.observation import Observation
from monitoring.samples.values import Sample
from monitoring.sketches.fourier import FourierBasis
from monitoring.sketches.sketch_log import SqlSketchLog
from tests.fakes.ledger import FakeClock
from tests.fakes.loop_stories import first_champion
from tests.fakes.loop_world import World
from tests.fakes.sample_log import FakeSampleLog

WINDOW = "\n[monitoring]\nwindow_samples = 40\nmin_window_samples = 30\n"


class Heard:
    """A teller that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "workspace", settings=WINDOW)


def sample(world: World, number: int, *, days_ago: float = 0.0, **changes: Any) -> Sample:
    made = Sample(
        sample_id=f"s{number}-{days_ago}-{changes.get('source', '')}",
        received_at=world.clock.now() - timedelta(days=days_ago),
        model_version="3",
        weights_digest="w1",
        picture_digest="d",
        source="camera 1",
        features={"brightness": number / 100, "count of bolt": 2.0},
    )
    return replace(made, **changes)


def test_every_day_source_and_version_has_its_figures(world: World) -> None:
    for days_ago in (0, 1, 30):
        for source in ("camera 1", "camera 2"):
            for number in range(5):
                world.samples.add(sample(world, number, days_ago=days_ago, source=source))
    found = show_trends(world.app(), days=7, period="day", features=["brightness"])
    assert [(one.source, one.since.day, one.num_values) for one in found.figures] == [
        ("camera 1", 1, 5),
        ("camera 1", 2, 5),
        ("camera 2", 1, 5),
        ("camera 2", 2, 5),
    ]
    assert found.figures[0].quantiles == pytest.approx((0.0, 0.01, 0.02, 0.03, 0.04))
    assert found.remarks == ("nothing is compared: nothing serves yet",)
    longer = show_trends(world.app(), days=60, period="all", by_source=False, by_version=False)
    assert {(one.feature, one.class_name, one.num_values) for one in longer.figures} == {
        ("brightness", "", 30),
        ("count of bolt", "bolt", 30),
    }


def test_asking_twice_counts_nothing_twice(world: World) -> None:
    world.samples.add(sample(world, 1))
    for _ in range(2):
        found = show_trends(world.app(), days=1, period="day", features=["brightness"])
        assert [one.num_values for one in found.figures] == [1]


def test_a_workspace_without_samples_has_no_figures_and_no_error(world: World) -> None:
    found = show_trends(world.app(), days=7, period="day")
    assert (found.figures, found.differences) == ((), ())


def test_a_feature_that_was_never_measured_is_named(world: World) -> None:
    world.samples.add(sample(world, 1))
    with pytest.raises(DataError, match="has a feature 'brightnes'"):
        show_trends(world.app(), days=7, period="day", features=["brightness", "brightnes"])


def test_a_sample_of_the_future_is_shown_with_its_time_and_said(world: World) -> None:
    world.samples.add(sample(world, 1))
    world.samples.add(sample(world, 2, days_ago=-3))
    found = show_trends(world.app(), days=7, period="day", features=["brightness"])
    assert [one.since.day for one in found.figures] == [2, 5]
    assert any("1 sample came with a time that is not yet: a clock is ahead" in one for one in found.remarks)
    again = show_trends(world.app(), days=7, period="day")
    assert "some samples have times up to 2026-03-05 09:00 UTC" in again.remarks[0]


def test_hours_of_long_ago_are_said_to_be_days(world: World) -> None:
    world.samples.add(sample(world, 1))
    found = show_trends(world.app(), days=20, period="hour")
    assert "hours older than 14 days are kept as days only" in found.remarks


def serve(world: World) -> str:
    """Promote a first model; return its weights digest."""
    world.label(range(180))
    first_champion(world)
    champion = world.state.champion
    assert champion is not None
    return champion.weights_digest


def test_the_champions_samples_are_compared_with_its_own_pictures(world: World) -> None:
    digest = serve(world)
    app = world.app()
    own = [
        Observation({"brightness": value, "count": value}, (value, 1.0))
        for value in np.random.default_rng(0).normal(size=120)
    ]
    baseline = build_baseline(own, weights_digest=digest, data_fingerprint="f")
    rng = np.random.default_rng(1)
    for number, value in enumerate(rng.normal(size=200)):
        features = {"brightness": value + 2.0, "count": value}
        world.samples.add(
            sample(world, number, weights_digest=digest, features=features, embedding=(value + 2.0, 1.0))
        )
    assert any("not measured yet" in one for one in show_trends(app, days=7, period="day").remarks)
    save_references(world.workspace.baseline_dir(digest), {POOLED: baseline})
    found = show_trends(app, days=7, period="day")
    outcomes = {one.feature: one.outcome for one in found.differences}
    assert outcomes == {"brightness": "differs", "count": "alike", "embedding": "differs"}
    (only,) = show_trends(app, days=7, period="day", features=["count"]).differences
    assert only.feature == "count"


def test_each_camera_is_compared_with_its_own_held_out_pictures(world: World) -> None:
    digest = serve(world)
    rng = np.random.default_rng(0)
    dark, bright = rng.normal(size=120).tolist(), (rng.normal(size=60) + 9.0).tolist()

    def reference(values: list[float]) -> Baseline:
        own = [Observation({"brightness": value}) for value in values]
        return build_baseline(own, weights_digest=digest, data_fingerprint="f")

    references = {POOLED: [*dark, *bright], "camera 1": dark, "camera 2": bright}
    kept = {name: reference(values) for name, values in references.items()}
    save_references(world.workspace.baseline_dir(digest), kept)
    for source, mean in (("camera 1", 0.0), ("camera 2", 9.0), ("camera 3", 0.0)):
        for number, value in enumerate(rng.normal(size=100) + mean):
            features = {"brightness": float(value)}
            world.samples.add(sample(world, number, weights_digest=digest, features=features, source=source))
    found = show_trends(world.app(), days=7, period="day").differences
    assert {(one.source, one.reference, one.outcome) for one in found} == {
        ("camera 1", "camera 1", "alike"),
        ("camera 2", "camera 2", "alike"),
        ("camera 3", POOLED, "differs"),
    }
    (together,) = show_trends(world.app(), days=7, period="day", by_source=False).differences
    assert (together.source, together.reference, together.num_values) == ("", "", 300)


def test_a_known_second_camera_that_sends_alone_is_no_difference(world: World) -> None:
    digest = serve(world)
    rng = np.random.default_rng(0)
    values = {"camera 1": rng.normal(size=120), "camera 2": rng.normal(size=60) + 9.0}
    values[POOLED] = np.concatenate(list(values.values()))
    kept = {
        name: build_baseline(
            [Observation({"brightness": float(value)}) for value in of_name],
            weights_digest=digest,
            data_fingerprint="f",
        )
        for name, of_name in values.items()
    }
    save_references(world.workspace.baseline_dir(digest), kept)
    for number, value in enumerate(rng.normal(size=100) + 9.0):
        features = {"brightness": float(value)}
        world.samples.add(sample(world, number, weights_digest=digest, features=features, source="camera 2"))
    (found,) = show_trends(world.app(), days=7, period="day").differences
    assert (found.source, found.reference, found.outcome) == ("camera 2", "camera 2", "alike")


def test_samples_of_another_model_are_not_compared(world: World) -> None:
    digest = serve(world)
    own = [Observation({"brightness": float(value)}) for value in range(60)]
    baseline = build_baseline(own, weights_digest=digest, data_fingerprint="f")
    save_references(world.workspace.baseline_dir(digest), {POOLED: baseline})
    world.samples.add(sample(world, 1))
    (found,) = show_trends(world.app(), days=7, period="day").differences
    assert (found.outcome, found.reason) == ("inconclusive", "no sample of the period has it")


def test_a_baseline_with_embeddings_of_another_length_has_none_to_compare(tmp_path: Path) -> None:
    own = [Observation({"brightness": float(value)}, (1.0, float(value), 2.0)) for value in range(9)]
    baseline = build_baseline(own, weights_digest="w1", data_fingerprint="f")
    save_references(tmp_path, {POOLED: baseline})
    of_three = FourierBasis.draw(np.ones((4, 3), np.float32), seed=0)
    of_two = FourierBasis.draw(np.ones((4, 2), np.float32), seed=0)
    assert set(open_references(tmp_path, of_three)[POOLED]) == {"brightness", "embedding"}
    for basis in (of_two, None):
        assert set(open_references(tmp_path, basis)[POOLED]) == {"brightness"}
    assert open_references(tmp_path / "nothing", of_two) == {}


def test_a_drift_check_brings_the_sketches_up_to_date_before_samples_are_forgotten(world: World) -> None:
    serve(world)
    world.samples.add(sample(world, 1, days_ago=91))
    monitor(world.app())
    assert world.samples.get("s1-91-") is None
    kept = world.app().sketches.read(world.clock.now() - timedelta(days=92), world.clock.now())
    assert {one.feature for one in kept} == {"brightness", "count of bolt"}


class FailingLog(FakeSampleLog):
    """A log whose database does not answer."""

    def arrivals(self, after: int, limit: int) -> Any:
        raise StorageError("the disk is full")


def test_sketches_that_cannot_be_brought_up_to_date_are_told_and_hold_nothing_up(tmp_path: Path) -> None:
    heard, sketches = Heard(), SqlSketchLog.at(tmp_path / "sketches.db")
    keep_sketches(FailingLog(), sketches, FakeClock(), heard)  # type: ignore[arg-type]
    (sentence,) = heard.said
    assert sentence.startswith("the sketches of samples were not brought up to date: the disk is full")
    sketches.close()
