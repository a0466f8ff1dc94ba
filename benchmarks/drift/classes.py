"""False alarms and power of the drift verdict on many classes' masks: ``python -m benchmarks.drift.classes``.

Features are drawn: normal ones of pictures and masks, Poisson counts. 150 pictures are the reference, 100 the
window. Beside the verdict stands what one Holm correction over all features of all classes would have said.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from benchmarks.drift.__main__ import interval
from benchmarks.drift.streams import window_of
from benchmarks.provenance import describe_run
from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.baseline import Baseline, build_baseline
from monitoring.drift.scenes import Scenes
from monitoring.drift.verdict import judge_drift
from monitoring.features.observation import Observation
from monitoring.features.table import FEATURES
from monitoring.samples.windows import Window
from monitoring.signals.corrections import holm_corrected
from monitoring.signals.two_sample import ks_test

NUM_REFERENCE: Final = 150
NUM_CURRENT: Final = 100
SHOWN: Final = 0.8
"""Instances of each class in a picture, on average."""
BARE: Final = MonitoringSettings(min_effect=0.0, min_drifted_features=1)
"""Nothing but the corrections stands between a quiet window and an alarm."""
_WHOLE: Final = tuple(one.name for one in FEATURES.features)
_MASKS: Final = tuple(one.prefix for one in FEATURES.of_classes if one.needs == "instances")


@dataclass(frozen=True)
class Case:
    """One row of the table: how features depend on each other, and by how many deviations they move."""

    name: str
    num_classes: int
    correlation: float = 0.0
    shifts: Mapping[str, float] = field(default_factory=dict)
    settings: MonitoringSettings = BARE


CASES: Final = (
    Case("quiet, 5 classes", 5),
    Case("quiet, 5 classes, features correlated at 0.8", 5, correlation=0.8),
    *(
        Case(
            f"two properties of one class's masks move by 1.25 sd, {num} classes",
            num,
            shifts={"complexity of class 0": 1.25, "holes of class 0": 1.25},
            settings=MonitoringSettings(),
        )
        for num in (5, 25)
    ),
)


def main() -> None:
    """Print one line of JSON for each case."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift.classes", description=__doc__)
    parser.add_argument("--windows", type=int, default=500, help="quiet ones; a tenth of it for the others")
    wanted = parser.parse_args()
    print(json.dumps(describe_run()), flush=True)
    for case in CASES:
        num = wanted.windows // (10 if case.shifts else 1)
        found: Counter[str] = Counter()
        for seed in range(num):
            baseline, window = _draw(case, seed)
            each = Scenes(tuple(range(NUM_CURRENT)), {})
            verdict = judge_drift(baseline, window, case.settings, seed=seed, scenes=each)
            named = {one.class_name for one in verdict.classes if one.outcome == "drift"}
            found["families"] += verdict.outcome == "drift"
            found["right class named"] += "class 0" in named
            found["wrong class named"] += bool(named - {"class 0"})
            if not case.shifts:
                continue
            found["one Holm"] += _is_drift_after_holm(baseline, window, case.settings)
        rates = {name: interval(count, num) for name, count in found.items()}
        print(json.dumps({"case": case.name, "windows": num, "found": found, "95 %": rates}), flush=True)


def _draw(case: Case, seed: int) -> tuple[Baseline, Window]:
    rng = np.random.default_rng([seed, case.num_classes, int(10 * case.correlation)])
    own = [_answer(case, rng, {}) for _ in range(NUM_REFERENCE)]
    current = [_answer(case, rng, case.shifts) for _ in range(NUM_CURRENT)]
    return build_baseline(own, weights_digest="w", data_fingerprint="f"), window_of(current)


def _answer(case: Case, rng: np.random.Generator, shifts: Mapping[str, float]) -> Observation:
    counts = rng.poisson(SHOWN, case.num_classes).tolist()
    names = [*_WHOLE, *(f"{mask}class {n}" for n, count in enumerate(counts) if count for mask in _MASKS)]
    common = np.sqrt(case.correlation) * rng.normal()
    values = common + np.sqrt(1.0 - case.correlation) * rng.normal(size=len(names))
    features = {name: value + shifts.get(name, 0.0) for name, value in zip(names, values, strict=True)}
    features |= {f"count of class {n}": float(count) for n, count in enumerate(counts)}
    return Observation(features | {"count": float(sum(counts))})


def _is_drift_after_holm(baseline: Baseline, window: Window, settings: MonitoringSettings) -> bool:
    results = []
    for column, name in enumerate(baseline.feature_names):
        own = baseline.values[:, column]
        current = [one.features[name] for one in window.samples if one.features.get(name) is not None]
        results.append(ks_test(own[np.isfinite(own)], np.asarray(current, np.float64)))
    corrected = holm_corrected([one.p_value for one in results])
    num = sum(
        p_value <= settings.false_alarm_rate and one.effect >= settings.min_effect
        for p_value, one in zip(corrected, results, strict=True)
    )
    return num >= settings.min_drifted_features


if __name__ == "__main__":
    main()
