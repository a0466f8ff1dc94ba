"""Stated and measured false alarms: ``python -m benchmarks.drift FOLDER --cache FILE.npz``.

Takes some minutes to measure the pictures of the folder, and about 0.1 s for each window of each line.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.drift.pictures import find_pictures, measure_scenes
from benchmarks.drift.streams import LINES, draw_window
from benchmarks.provenance import describe_run
from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.scenes import Scenes, find_scenes
from monitoring.drift.verdict import judge_drift


def main() -> None:
    """Print one line of JSON for each line of the table: outcomes before and after scenes counted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("folder", type=Path, help="its pictures, each a scene of its own")
    parser.add_argument("--cache", type=Path, required=True, help="measurements, kept from run to run")
    parser.add_argument("--windows", type=int, default=300, help="for each line")
    parser.add_argument("--line", nargs="*", default=[""], help="only lines that contain one of these")
    wanted = parser.parse_args()
    scenes = measure_scenes(find_pictures(wanted.folder), wanted.cache)
    print(json.dumps(describe_run() | {"pictures": str(len(scenes.values))}))
    settings = MonitoringSettings(window_samples=1000)
    for line in LINES:
        if not any(part in str(line) for part in wanted.line):
            continue
        before: Counter[str] = Counter()
        after: Counter[str] = Counter()
        found = []
        for seed in range(wanted.windows):
            baseline, window = draw_window(line, scenes, seed=seed)
            each = Scenes(tuple(range(len(window.samples))), {})
            before[judge_drift(baseline, window, settings, seed=seed, scenes=each).outcome] += 1
            counted = find_scenes(window.samples, baseline)
            after[judge_drift(baseline, window, settings, seed=seed, scenes=counted).outcome] += 1
            found.append(counted.num_scenes)
        figures = {"line": str(line), "windows": wanted.windows, "before": before, "after": after}
        figures |= {"scenes, 5, 50, 95 %": np.percentile(found, [5, 50, 95]).round().tolist()}
        figures |= {"false alarms, 95 %": interval(after["drift"], wanted.windows)}
        print(json.dumps(figures), flush=True)


def interval(successes: int, trials: int) -> list[float]:
    """Return Clopper and Pearson's exact interval of a share, in percent."""
    from scipy.stats import binomtest

    found = binomtest(successes, trials).proportion_ci(method="exact")
    return [round(100 * found.low, 1), round(100 * found.high, 1)]


if __name__ == "__main__":
    main()
