"""Which samples are counted, once each; restarts; sources; what is kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from maskloop.errors import ConfigurationError, IntegrityError
from monitoring.drift.baseline import Baseline
from monitoring.drift.references import POOLED
from monitoring.features.observation import Observation
from monitoring.samples.values import Sample
from monitoring.sequential import storage
from monitoring.sequential.detector import Detector, watch
from monitoring.sequential.scoring import fit_scorer
from monitoring.sequential.storage import load_detector, save_detector
from tests.fakes.drift_data import NOON, baseline_of, draw, sample_of

BASELINE = baseline_of(draw(np.random.default_rng(0), 80))


def arrive(seen: Sequence[Observation], *, source: str = "camera", name: str = "s") -> list[Sample]:
    """Return samples that came every quarter of an hour, the first one first."""
    return [
        replace(
            sample_of(f"{name}{number}", one),
            source=source,
            received_at=NOON + number * timedelta(minutes=15),
        )
        for number, one in enumerate(seen)
    ]


def look(
    detector: Detector,
    arrived: Sequence[Sample],
    references: dict[str, Baseline] | None = None,
    left_out: frozenset[str] = frozenset(),
    now: datetime = NOON + timedelta(days=365),
) -> Detector:
    found = references or {POOLED: BASELINE}
    return watch(
        detector,
        arrived[::-1][:200],
        found,
        {name: fit_scorer(one) for name, one in found.items()},
        max_per_quarter=1.0,
        min_samples=20,
        now=now,
        left_out=left_out,
    )


def fresh() -> Detector:
    return Detector("w1", BASELINE.digest)


def quiet(num: int, seed: int = 1) -> list[Sample]:
    return arrive(draw(np.random.default_rng(seed), num))


def same(one: Detector, other: Detector) -> bool:
    """Tell whether two detectors remember the same."""
    mine, theirs = one.evidence, other.evidence
    return (
        replace(one, evidence={}) == replace(other, evidence={})
        and mine.keys() == theirs.keys()
        and all(
            (mine[name].num_scenes, mine[name].alarm) == (theirs[name].num_scenes, theirs[name].alarm)
            and np.array_equal(mine[name].counts, theirs[name].counts)
            and np.array_equal(mine[name].values, theirs[name].values)
            for name in mine
        )
    )


def test_each_scene_is_counted_once_however_often_the_detector_looks() -> None:
    arrived = quiet(60)
    once = look(fresh(), arrived)
    assert once.num_scenes == 60
    assert same(look(once, arrived), once)
    assert look(once, quiet(70)).num_scenes == 70


def test_looking_after_each_few_samples_gives_the_same_state_as_looking_once() -> None:
    arrived = quiet(60)
    detector = fresh()
    for num in (25, 26, 40, 60):
        detector = look(detector, arrived[:num])
    assert same(detector, look(fresh(), arrived))


def test_a_late_sample_is_counted_and_turns_no_clock_back() -> None:
    arrived = quiet(30)
    late = replace(arrived[-1], sample_id="late", received_at=NOON - timedelta(days=2))
    detector = look(look(fresh(), arrived), [*arrived, late])
    assert (detector.num_scenes, detector.clock) == (31, arrived[-1].received_at)


def test_a_sample_of_the_future_came_now_and_does_not_stop_the_clock_of_those_that_follow() -> None:
    arrived, now = quiet(30), NOON + timedelta(days=1)
    ahead = [replace(arrived[0], received_at=NOON + timedelta(days=3650)), *arrived[1:]]
    detector = look(fresh(), ahead, now=now)
    assert (detector.began, detector.clock) == (now, now)
    stuck = replace(detector, clock=NOON + timedelta(days=3650), began=NOON + timedelta(days=3650))
    later = replace(arrived[-1], sample_id="later", received_at=now + timedelta(hours=2))
    mended = look(stuck, [*ahead, later], now=now + timedelta(hours=3))
    assert (mended.began, mended.clock) == (now + timedelta(hours=3),) * 2
    assert mended.num_scenes == 31


def test_nothing_is_counted_before_there_are_enough_samples_to_know_their_dependence() -> None:
    detector = look(fresh(), quiet(19))
    assert (detector.num_scenes, detector.seen, detector.scenes_per_day) == (0, (), None)


def test_a_change_is_seen_within_few_scenes_and_the_alarm_says_what_changed() -> None:
    arrived = arrive(
        [*draw(np.random.default_rng(1), 100), *draw(np.random.default_rng(2), 30, shift_sd=2.0)]
    )
    [alarm] = look(look(fresh(), arrived[:100]), arrived).alarms
    assert (alarm.source, alarm.shape) == ("camera", "rises")
    assert 100 < alarm.num_scenes <= 115
    assert alarm.at == arrived[alarm.num_scenes - 1].received_at


def test_near_duplicates_of_a_picture_are_one_scene() -> None:
    looks = np.random.default_rng(3).integers(0, 2**63, 90).tolist()
    known = [
        replace(one, difference_hash=look)
        for one, look in zip(draw(np.random.default_rng(0), 60), looks, strict=False)
    ]
    references = {POOLED: baseline_of(known)}
    first, *rest = draw(np.random.default_rng(1), 30)
    burst = [replace(first, difference_hash=looks[60])] * 20
    others = [replace(one, difference_hash=look) for one, look in zip(rest, looks[61:], strict=True)]
    assert look(fresh(), arrive([*burst, *others]), references).num_scenes == 30


def test_each_source_has_its_own_evidence_so_another_mix_of_known_sources_is_no_change() -> None:
    dark, bright = (draw(np.random.default_rng(4), 60, shift_sd=shift) for shift in (0.0, 4.0))
    references = {
        POOLED: baseline_of([*dark, *bright]),
        "dark": baseline_of(dark),
        "bright": baseline_of(bright),
    }
    arrived = arrive(draw(np.random.default_rng(5), 100, shift_sd=4.0), source="bright")
    detector = look(fresh(), arrived, references)
    assert (detector.alarms, list(detector.evidence)) == ((), ["bright"])
    [alarm] = look(fresh(), [replace(one, source="dark") for one in arrived], references).alarms
    assert alarm.source == "dark"


def test_a_source_that_cannot_be_judged_is_not_counted() -> None:
    arrived = arrive(draw(np.random.default_rng(1), 40, shift_sd=5.0))
    assert look(fresh(), arrived, left_out=frozenset({"camera"})).num_scenes == 0


def test_a_cycle_that_ends_after_an_alarm_answers_it_and_only_later_scenes_count_then() -> None:
    arrived = arrive(draw(np.random.default_rng(1), 40, shift_sd=5.0))
    alarmed = look(fresh(), arrived)
    again = look(alarmed.after_cycle(NOON), arrived)
    assert (len(alarmed.alarms), again.alarms, again.num_scenes) == (1, (), 0)
    assert alarmed.after_cycle(None) is alarmed


def test_a_cycle_that_ends_without_an_alarm_leaves_the_evidence_alone() -> None:
    before = look(fresh(), quiet(40))
    after = before.after_cycle(NOON)
    assert (after.num_scenes, after.evidence) == (40, before.evidence)


def test_samples_without_any_known_number_are_counted_as_missing_and_raise_no_alarm() -> None:
    detector = look(fresh(), arrive([Observation({})] * 25))
    [evidence] = detector.evidence.values()
    assert evidence.alarm is None
    assert (evidence.num_missing == evidence.num_scenes).all()


# --- kept on disk --------------------------------------------------------------------------------


def test_the_state_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    for name, arrived in {
        "quiet": quiet(40),
        "alarmed": arrive(draw(np.random.default_rng(1), 40, shift_sd=4.0)),
    }.items():
        detector = replace(look(fresh(), arrived), newcomers_asked=NOON)
        save_detector(detector, tmp_path / name)
        found = load_detector(tmp_path / name)
        assert found is not None
        assert same(found, detector)
        assert same(look(found, quiet(60)), look(detector, quiet(60)))


def test_no_file_is_no_state_and_a_damaged_one_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "state.npz"
    assert load_detector(file) is None
    save_detector(look(fresh(), quiet(40)), file)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(IntegrityError, match="Delete the file"):
        load_detector(file)


def test_a_state_of_a_newer_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "state.npz"
    monkeypatch.setattr(storage, "SCHEMA_VERSION", 99)
    save_detector(fresh(), file)
    monkeypatch.undo()
    with pytest.raises(ConfigurationError):
        load_detector(file)
