"""Windows of several cameras: a new one among known ones, and known ones in new proportions.

``python -m benchmarks.drift.mixtures FOLDER --cache FILE.npz``
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.drift.__main__ import interval
from benchmarks.drift.pictures import CHANGED, NUM_PARTS, Scenes, find_pictures, measure_scenes
from benchmarks.drift.streams import window_of
from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.baseline import Baseline, build_baseline
from monitoring.drift.references import POOLED
from monitoring.drift.sources import judge_window
from monitoring.samples.windows import Window
from monitoring.sequential.confirmation import NEWCOMERS_SHARE
from monitoring.sequential.evidence import QUARTER

Case = tuple[int, ...]
CASES: Final[Mapping[str, Case]] = {
    "four known cameras alike": (50, 50, 50, 50, 0),
    "a new camera sends 20 %": (160, 0, 0, 0, 40),
    "a new camera sends 10 %": (180, 0, 0, 0, 20),
}
"""Samples of four cameras that see alike, and of one that is blurred, darker and noisier."""
SHARES: Final = {"as in the data (80 : 20)": 0.2, "50 : 50": 0.5, "20 : 80": 0.8}
"""Of the blurred camera, where both cameras are known."""

LEVELS: Final = {
    f"after {name}": NEWCOMERS_SHARE * MonitoringSettings().max_false_alarms_per_quarter * (passed / QUARTER)
    for name, passed in (("an hour", timedelta(hours=1)), ("a day", timedelta(days=1)))
}
"""Of the p-value of newcomers, so long after they were last asked about (`level_of_newcomers`)."""


def main() -> None:
    """Print one line of JSON for each case: how often the verdict alarms, with sources and without."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift.mixtures", description=__doc__)
    parser.add_argument("folder", type=Path, help="its pictures, each a scene of its own")
    parser.add_argument("--cache", type=Path, required=True, help="measurements, kept from run to run")
    parser.add_argument("--windows", type=int, default=100, help="for each case")
    wanted = parser.parse_args()
    scenes = measure_scenes(find_pictures(wanted.folder), wanted.cache)
    for name, case in CASES.items():
        drawn = (_draw_new_camera(scenes, case, seed) for seed in range(wanted.windows))
        _tell(name, [({POOLED: baseline}, window) for baseline, window in drawn])
    for name, share in SHARES.items():
        _tell(
            f"two known cameras, {name}", [_draw_mix(scenes, share, seed) for seed in range(wanted.windows)]
        )


def _tell(name: str, drawn: list[tuple[dict[str, Baseline], Window]]) -> None:
    settings = MonitoringSettings()
    found: dict[str, Counter[str]] = {"with sources": Counter(), "without": Counter()}
    named = 0
    alone: Counter[str] = Counter()
    for seed, (references, window) in enumerate(drawn):
        judged = judge_window(references, window, settings, seed=seed)
        found["with sources"][judged.deciding.verdict.outcome] += 1
        named += bool(judged.drifted)
        mixed = Window(window.weights_digest, tuple(replace(one, source="") for one in window.samples))
        without = judge_window(references, mixed, settings, seed=seed).deciding
        found["without"][without.verdict.outcome] += 1
        alone.update(name for name, level in LEVELS.items() if without.newcomers_p_value <= level)
    rates = {key: interval(counts["drift"], len(drawn)) for key, counts in found.items()}
    print(
        json.dumps(
            {"case": name, "found": found, "alarm alone": alone, "source named": named, "drift, 95 %": rates}
        ),
        flush=True,
    )


def _draw_new_camera(scenes: Scenes, case: Case, seed: int) -> tuple[Baseline, Window]:
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(scenes.values)).tolist()
    own = [scenes.see(scene, int(rng.integers(NUM_PARTS))) for scene in order[:150]]
    cameras = [number for number, size in enumerate(case) for _ in range(size)]
    places = rng.permutation(len(cameras)).tolist()
    views = [
        scenes.see(scene, CHANGED if cameras[place] == 4 else int(rng.integers(NUM_PARTS)))
        for scene, place in zip(order[150:], places, strict=False)
    ]
    sources = [f"camera {cameras[place]}" for place in places]
    return build_baseline(own, weights_digest="w", data_fingerprint="f"), window_of(views, sources)


def _draw_mix(scenes: Scenes, share: float, seed: int) -> tuple[dict[str, Baseline], Window]:
    """Return references of 160 pictures of one camera and 40 of a blurred one, and 200 samples of both."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(scenes.values)).tolist()
    first = [scenes.see(scene, int(rng.integers(NUM_PARTS))) for scene in order[:160]]
    second = [scenes.see(scene, CHANGED) for scene in order[160:200]]
    is_blurred = rng.random(200) < share
    views = [
        scenes.see(scene, CHANGED + 1 if blurred else int(rng.integers(NUM_PARTS)))
        for scene, blurred in zip(order[200:400], is_blurred.tolist(), strict=True)
    ]

    def baseline_of(seen: list) -> Baseline:  # type: ignore[type-arg]
        return build_baseline(seen, weights_digest="w", data_fingerprint="f")

    references = {
        POOLED: baseline_of([*first, *second]),
        "camera 0": baseline_of(first),
        "camera 4": baseline_of(second),
    }
    return references, window_of(views, [f"camera {4 if one else 0}" for one in is_blurred.tolist()])


if __name__ == "__main__":
    main()
