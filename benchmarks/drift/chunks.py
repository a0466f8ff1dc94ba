"""How large effects between random chunks of one reference are, beside Kolmogorov's quantile.

``python -m benchmarks.drift.chunks FOLDER --cache FILE.npz``. A threshold fitted on a reference would be the
95 % quantile of these effects, feature by feature.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.drift.pictures import NUM_PARTS, find_pictures, measure_scenes
from benchmarks.provenance import describe_run
from monitoring.signals.two_sample import ks_test, ordinary_effect

NUM_CHUNKS: Final = 400
SIZES: Final = ((30, 30), (100, 50), (100, 100), (200, 100))
"""Scenes of the two chunks."""


def main() -> None:
    """Print one line of JSON for each pair of sizes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift.chunks", description=__doc__)
    parser.add_argument("folder", type=Path, help="its pictures, each a scene of its own")
    parser.add_argument("--cache", type=Path, required=True, help="measurements, kept from run to run")
    wanted = parser.parse_args()
    scenes = measure_scenes(find_pictures(wanted.folder), wanted.cache)
    print(json.dumps(describe_run()), flush=True)
    rng = np.random.default_rng(0)
    for first, second in SIZES:
        effects: dict[str, list[float]] = {name: [] for name in scenes.names}
        for _ in range(NUM_CHUNKS):
            chosen = rng.permutation(len(scenes.values))[: first + second]
            values = scenes.values[chosen, rng.integers(NUM_PARTS, size=len(chosen))]
            for column, name in enumerate(scenes.names):
                effects[name].append(ks_test(values[:first, column], values[first:, column]).effect)
        fitted = {name: round(float(np.quantile(found, 0.95)), 3) for name, found in effects.items()}
        known = round(ordinary_effect(first, second), 3)
        print(json.dumps({"scenes": [first, second], "kolmogorov": known, "fitted": fitted}), flush=True)


if __name__ == "__main__":
    main()
