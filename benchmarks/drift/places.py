"""Can one place be told from another camera? What 50 scenes of a slow walk differ by, and what changes do.

``python -m benchmarks.drift.places FOLDER --cache FILE.npz --shifts OTHER.npz``. Of each kind of window: how
it is judged, by how much it differs in one signal and in all properties together where signals drifted, and
how far it spreads beside the reference. Seeds are others than those of ``benchmarks.drift``.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.drift.pictures import (
    NUM_PARTS,
    Scenes,
    cut_parts,
    draw_network,
    find_pictures,
    keep_scenes,
    measure_scenes,
    observe_view,
    read_scenes,
)
from benchmarks.drift.streams import NUM_REFERENCE, Line, draw_window, window_of
from benchmarks.provenance import describe_run
from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.baseline import Baseline, build_baseline
from monitoring.drift.comparison import measure_joint_effect
from monitoring.drift.families import divide_features
from monitoring.drift.scenes import find_scenes
from monitoring.drift.verdict import judge_drift
from monitoring.features.table import FEATURES
from monitoring.samples.windows import Window
from monitoring.sequential.shifts import PICTURE_SHIFTS

FIRST_SEED = 10_000
NUM_SHIFTED = 200
SCENES = 50
LEADING = 4


def main() -> None:
    """Print one line of JSON for each kind of window."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift.places", description=__doc__)
    parser.add_argument("folder", type=Path, help="its pictures, each a scene of its own")
    parser.add_argument("--cache", type=Path, required=True, help="measurements, kept from run to run")
    parser.add_argument("--shifts", type=Path, required=True, help="those of changed pictures, kept as well")
    parser.add_argument("--windows", type=int, default=300, help="of walks and independent pictures")
    parser.add_argument("--shifted-windows", type=int, default=40, help="of each change")
    wanted = parser.parse_args()
    files = find_pictures(wanted.folder)
    scenes = measure_scenes(files, wanted.cache)
    changed = _measure_changed(files, wanted.shifts)
    print(json.dumps(describe_run() | {"pictures": str(len(files))}), flush=True)
    for line in (Line("independent", SCENES), Line("walk", 1, SCENES), Line("walk", 1, 2 * SCENES)):
        seeds = range(FIRST_SEED, FIRST_SEED + wanted.windows)
        _tell(str(line), (draw_window(line, scenes, seed=seed) for seed in seeds))
    for number, shift in enumerate(PICTURE_SHIFTS):
        for num_scenes in (SCENES, 2 * SCENES):
            seeds = range(FIRST_SEED, FIRST_SEED + wanted.shifted_windows)
            drawn = (_draw_changed(scenes, changed, number, num_scenes, seed) for seed in seeds)
            _tell(f"{shift.name} {num_scenes}", drawn)


def _tell(name: str, drawn: Iterator[tuple[Baseline, Window]]) -> None:
    settings = MonitoringSettings()
    outcomes: Counter[str] = Counter()
    found: dict[str, list[float]] = {"in one signal": [], "together": [], "spread": []}
    for baseline, window in drawn:
        scenes = find_scenes(window.samples, baseline)
        verdict = judge_drift(baseline, window, settings, scenes=scenes)
        outcomes["may be a place" if verdict.may_be_place else verdict.outcome] += 1
        found["spread"].append(_spread(baseline, window))
        if verdict.outcome == "drift" or verdict.may_be_place:
            judged = [window.samples[place] for place in scenes.positions]
            properties = divide_features(baseline, FEATURES).properties
            found["in one signal"].append(max(one.effect for one in verdict.signals if one.drifted))
            found["together"].append(measure_joint_effect(baseline, properties, judged, seed=0))
    told = {key: np.percentile(of, [0, 5, 50, 95, 100]).round(2).tolist() for key, of in found.items() if of}
    print(json.dumps({"windows of": name, "outcomes": outcomes, "0, 5, 50, 95, 100 %": told}), flush=True)


def _spread(baseline: Baseline, window: Window) -> float:
    """Return the spread in the embedding's leading components as a share of the reference's, on average."""
    own = baseline.scene_embeddings.astype(np.float64)
    scale, centre = np.maximum(own.std(axis=0), 1e-6), own.mean(axis=0)
    _, _, directions = np.linalg.svd((own - centre) / scale, full_matrices=False)
    current = np.array([one.embedding for one in window.samples], np.float64)
    spreads = [(((side - centre) / scale) @ directions[:LEADING].T).std(axis=0) for side in (own, current)]
    return float(np.exp(np.log(spreads[1] / spreads[0]).mean()))


def _draw_changed(
    scenes: Scenes, changed: Scenes, shift: int, num_scenes: int, seed: int
) -> tuple[Baseline, Window]:
    """Return a reference and a window of other scenes after one change."""
    rng = np.random.default_rng([seed, shift, num_scenes])
    order = _order(len(scenes.values))
    rows = rng.permutation(len(changed.values))[:num_scenes].tolist()
    used = {order[row] for row in rows}
    others = [one for one in rng.permutation(len(order)).tolist() if one not in used][:NUM_REFERENCE]
    own = [scenes.see(one, int(rng.integers(NUM_PARTS)), scene_name=str(one)) for one in others]
    baseline = build_baseline(own, weights_digest="w", data_fingerprint="f")
    return baseline, window_of([changed.see(row, shift) for row in rows])


def _order(num: int) -> NDArray[np.int64]:
    return np.random.default_rng(1).permutation(num)


def _measure_changed(files: list[Path], cache: Path) -> Scenes:
    """Measure one part of some pictures after each change; a cache that is there is read instead."""
    if not cache.exists():
        rng, network = np.random.default_rng(5), draw_network()
        chosen = [files[one] for one in _order(len(files))[:NUM_SHIFTED].tolist()]
        parts = [cut_parts(np.asarray(Image.open(one).convert("RGB")))[0] for one in chosen]
        rows = [[observe_view(one.change(part, rng), network) for one in PICTURE_SHIFTS] for part in parts]
        keep_scenes(cache, rows)
    return read_scenes(cache)


if __name__ == "__main__":
    main()
