"""Which test sees a new camera in a part of a window: ``python -m benchmarks.newcomers FOLDER --cache FILE``.

150 other pictures are the reference. P-values are of 999 permutations and exact for each test. A second or
two for each window.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from benchmarks.drift.pictures import CHANGED, NUM_PARTS, Scenes, find_pictures, measure_scenes
from benchmarks.newcomers.statistics import STATISTICS
from benchmarks.provenance import describe_run

NUM_REFERENCE: Final = 150
NUM_CURRENT: Final = 200
NUM_PERMUTATIONS: Final = 999
LEVEL: Final = 0.0025
"""About the part of newcomers in a rate of 1 %."""
NEW: Final = (0, 20, 40)


def main() -> None:
    """Print one line of JSON for each number of pictures from the new camera."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.newcomers", description=__doc__)
    parser.add_argument("folder", type=Path, help="its pictures, each a scene of its own")
    parser.add_argument("--cache", type=Path, required=True, help="measurements, kept from run to run")
    parser.add_argument("--windows", type=int, default=40, help="for each number")
    wanted = parser.parse_args()
    scenes = measure_scenes(find_pictures(wanted.folder), wanted.cache)
    print(json.dumps(describe_run()), flush=True)
    for num_new in NEW:
        found: dict[str, list[float]] = {}
        for seed in range(wanted.windows):
            rng = np.random.default_rng(seed)
            spaces = _draw(scenes, num_new, rng)
            labels = np.arange(NUM_REFERENCE + NUM_CURRENT) >= NUM_REFERENCE
            drawn = rng.permuted(np.tile(labels, (NUM_PERMUTATIONS, 1)), axis=1)
            all_labels = np.concatenate([labels[np.newaxis], drawn])
            for space, points in spaces.items():
                for name, measure in STATISTICS.items():
                    values = measure(points, all_labels)
                    as_large = int((values[1:] >= values[0] - 1e-12).sum())
                    found.setdefault(f"{name}, {space}", []).append((1 + as_large) / (NUM_PERMUTATIONS + 1))
        seen = {name: float(np.mean(np.array(p) <= LEVEL)) for name, p in found.items()}
        print(json.dumps({"new pictures": num_new, "windows": wanted.windows, "seen": seen}), flush=True)


def _draw(scenes: Scenes, num_new: int, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Return reference and window as points: leading components of embeddings, whitened properties."""
    order = rng.permutation(len(scenes.values))[: NUM_REFERENCE + NUM_CURRENT]
    views = rng.integers(NUM_PARTS, size=len(order))
    views[NUM_REFERENCE + rng.permutation(NUM_CURRENT)[:num_new]] = CHANGED
    told = [column for column, name in enumerate(scenes.names) if name != "count"]
    ranks = rankdata(scenes.values[order, views][:, told], axis=0)
    left, sizes, _ = np.linalg.svd(_centred(ndtri((ranks - 0.5) / len(ranks))), full_matrices=False)
    of_embedding = np.linalg.svd(_centred(scenes.embeddings[order, views]), full_matrices=False)
    return {
        "embedding": of_embedding[0][:, :16] * of_embedding[1][:16],
        "properties": left[:, sizes > 1e-6 * sizes[0]] * np.sqrt(len(left)),
    }


def _centred(values: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(values - values.mean(axis=0, dtype=np.float64), np.float64)


if __name__ == "__main__":
    main()
