"""Samples as they should not be: each gives an outcome with its reason, and none a silent "no drift"."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from flows.answering.batch_prediction import predict
from flows.command.main import main
from flows.drift.monitor import monitor
from maskloop.records.kinds import DriftJudged
from monitoring.drift.references import load_references, save_references
from monitoring.samples.values import Sample
from tests.fakes.loop_stories import first_champion
from tests.fakes.loop_world import World, draw_under_lamp
from tests.fakes.opened import opens
from tests.fakes.sample_log import FakeSampleLog

Change = Callable[[int, Sample], Sample | None]
WINDOW = "\n[monitoring]\nwindow_samples = 40\nmin_window_samples = 30\nestimate_pictures = 0\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A workspace whose first model serves and has answered 40 pictures of the known camera."""
    made = World(tmp_path / "workspace", settings=WINDOW)
    made.label(range(180))
    first_champion(made)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(1000, 1040):
        (folder / f"{number}.png").write_bytes(draw_under_lamp(number)[0])
    predict(made.app(), [folder])
    return made


def change(world: World, how: Change) -> None:
    """Put altered samples in place of those that came, in the same order."""
    came = tuple(reversed(world.samples.newest(1000)))
    world.samples = FakeSampleLog()
    for number, sample in enumerate(came):
        altered = how(number, sample)
        if altered is not None:
            world.samples.add(altered)


def with_features(sample: Sample, **values: float | None) -> Sample:
    return replace(sample, features={**sample.features, **values})


def of_class(sample: Sample, name: str) -> Mapping[str, float | None]:
    return {feature: None for feature in sample.features if feature.endswith(f"of {name}")}


def judge(world: World) -> DriftJudged:
    found = monitor(world.app()).judged
    assert found is not None
    return found


def test_one_sample_waits_and_says_how_many_are_needed(world: World) -> None:
    change(world, lambda number, sample: sample if number == 0 else None)
    found = monitor(world.app())
    assert found.judged is None
    assert found.said == "1 new sample so far; a drift check needs 30"


def test_a_column_that_has_become_constant_is_drift(world: World) -> None:
    change(world, lambda _, sample: with_features(sample, sharpness=0.0, noise=0.0, entropy=0.0))
    assert judge(world).outcome == "drift"


def test_nothing_but_nan_is_inconclusive_by_name(world: World) -> None:
    change(world, lambda _, sample: with_features(sample, brightness=math.nan))
    found = judge(world)
    assert (found.outcome, "brightness is missing in 100 %" in found.reason) == ("inconclusive", True)


def test_a_feature_that_is_not_sent_any_more_is_inconclusive_by_name(world: World) -> None:
    def without(_: int, sample: Sample) -> Sample:
        return replace(
            sample, features={name: one for name, one in sample.features.items() if name != "contrast"}
        )

    change(world, without)
    found = judge(world)
    assert (found.outcome, "contrast is missing in 100 %" in found.reason) == ("inconclusive", True)


def test_a_class_that_vanished_is_drift_and_named(world: World) -> None:
    def without_nuts(_: int, sample: Sample) -> Sample:
        bolts = sample.class_counts["bolt"]
        gone = with_features(sample, **of_class(sample, "nut"))
        gone = with_features(gone, **{"count of nut": 0.0, "count": float(bolts)})
        return replace(gone, class_counts={"bolt": bolts, "nut": 0})

    change(world, without_nuts)
    found = judge(world)
    assert found.outcome == "drift"
    assert found.reason.startswith("the mix of classes changed: nut 50 → 0 % of the instances")


def test_samples_of_a_version_that_nobody_knows_are_told_and_not_judged(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    change(world, lambda _, sample: replace(sample, model_version="9", weights_digest="another workspace's"))
    found = monitor(world.app())
    assert found.judged is None
    assert found.said == "0 new samples so far; a drift check needs 30"
    (remark,) = found.remarks
    assert remark.startswith("40 samples of version 9 are not judged: this workspace knows no model with the")
    for more in ((), ("--json",)):
        capsys.readouterr()
        with pytest.raises(SystemExit):
            main(["monitor", "-w", str(world.workspace.root), *more], opener=opens(world))
        said = capsys.readouterr().out
        assert "40 samples of version 9 are not judged" in said
    assert json.loads(said)["remarks"] == [remark]


def test_strangers_among_the_champions_samples_are_told_beside_the_verdict(world: World) -> None:
    def exchange(number: int, sample: Sample) -> Sample:
        return replace(sample, model_version="9", weights_digest="x") if number % 8 == 0 else sample

    change(world, exchange)
    found = monitor(world.app())
    assert found.judged is not None
    assert (found.judged.outcome, found.judged.num_samples) == ("quiet", 35)
    assert found.remarks[0].startswith("5 samples of version 9 are not judged")


def test_a_clock_that_is_ahead_is_told_and_the_verdict_is_that_of_the_right_time(world: World) -> None:
    change(world, lambda _, sample: replace(sample, received_at=sample.received_at + timedelta(days=400)))
    found = monitor(world.app())
    assert found.judged is not None
    assert found.judged.outcome == "quiet"
    assert found.remarks[0].startswith("40 samples of the newest have times up to 2027-")
    assert found.watched is not None
    clock, now = found.watched.detector.clock, world.clock.now()
    assert clock is not None
    assert clock <= now


def test_samples_that_are_hours_late_are_judged_in_the_order_they_came(world: World) -> None:
    def late(number: int, sample: Sample) -> Sample:
        return replace(sample, received_at=sample.received_at - timedelta(hours=9 * (number % 3)))

    change(world, late)
    found = monitor(world.app())
    assert found.judged is not None
    assert (found.judged.outcome, found.judged.num_samples, found.remarks) == ("quiet", 40, ())


def test_samples_of_a_clock_that_is_far_behind_expire_and_that_is_told(world: World) -> None:
    change(world, lambda _, sample: replace(sample, received_at=sample.received_at - timedelta(days=20_000)))
    found = monitor(world.app())
    assert (found.judged, found.num_pending) == (None, 0)
    assert found.remarks[0].startswith("40 samples expired before a check: their times are longer ago than")
    assert world.samples.counts().skipped_by_reason == {"expired": 40}
    assert monitor(world.app()).remarks == ()


def test_a_reference_of_an_earlier_champion_is_inconclusive_and_says_so(world: World) -> None:
    app = world.app()
    champion = app.state().champion
    assert champion is not None
    change(world, lambda number, sample: sample if number < 35 else None)
    came = world.samples.newest(1000)
    monitor(app)
    directory = world.workspace.baseline_dir(champion.weights_digest)
    older = {name: replace(one, weights_digest="older") for name, one in load_references(directory).items()}
    save_references(directory, older)
    world.samples = FakeSampleLog()
    for sample in reversed(came):
        world.samples.add(replace(sample, sample_id=f"{sample.sample_id} again"))
    found = judge(world)
    assert found.outcome == "inconclusive"
    assert found.reason.startswith("the baseline belongs to other weights")
