"""CPU time of the checks as the data grow: ``python -m benchmarks.health.speed``.

Near-duplicates by bands of hashes against comparing all with all, then the checks of labels that need no
model. Hashes, masks and classes are drawn; one hash in fifty is another one with three bits changed. Figures
are printed as JSON, with the memory that the process held at most.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.provenance import describe_run
from dataset.health.class_table import tabulate_classes
from dataset.health.copies import candidates_for_copies
from dataset.health.outliers import find_outliers
from dataset.health.repeats import find_labelled_twice
from dataset.labelled_pictures import LabelledInstance, LabelledPicture
from dataset.pictures.looks import are_near, near_pairs
from maskloop.masks import place_masks

SIZES: Final = (5_000, 20_000, 118_000)
DISTANCE_BITS: Final = 3
NUM_CLASSES: Final = 80
_HEIGHT_PX, _WIDTH_PX = 480, 640
_MOST_INSTANCES: Final = 14
_SIDES_PX: Final = (8, 96)


def main() -> None:
    """Measure and print."""
    figures = {
        **describe_run(),
        "near-duplicates": [measure_near_pairs(draw_hashes(number)) for number in SIZES],
        "labels": [measure_checks(draw_pictures(number)) for number in SIZES],
        "peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(figures, indent=1))


def measure_near_pairs(hashes: NDArray[np.uint64]) -> dict[str, Any]:
    """Time the search for near-duplicates in both ways, which must find as many."""
    banded, seconds = clock(lambda: sum(map(len, near_pairs(hashes, DISTANCE_BITS))))
    compared, seconds_before = clock(lambda: compare_all(hashes))
    if banded != compared:
        raise SystemExit(f"{banded} pairs by bands, {compared} by comparing all")
    return {
        "pictures": len(hashes),
        "pairs": banded,
        "all with all, CPU s": seconds_before,
        "by bands, CPU s": seconds,
    }


def measure_checks(pictures: Sequence[LabelledPicture]) -> dict[str, Any]:
    """Time the checks of labels that need no model."""
    names = [str(index) for index in range(NUM_CLASSES)]
    parts: dict[str, Callable[[], object]] = {
        "labelled twice": lambda: find_labelled_twice(pictures),
        "copies": lambda: candidates_for_copies(pictures),
        "outliers": lambda: find_outliers(pictures, NUM_CLASSES),
        "classes": lambda: tabulate_classes(pictures, names, size_edges_px=(32.0**2, 96.0**2)),
    }
    return {
        "pictures": len(pictures),
        "instances": sum(len(picture.instances) for picture in pictures),
        **{f"{name}, CPU s": clock(part)[1] for name, part in parts.items()},
    }


def clock(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what some work returns, and its CPU seconds."""
    start = time.process_time()
    result = work()
    return result, round(time.process_time() - start, 3)


def draw_hashes(number: int) -> NDArray[np.uint64]:
    """Draw hashes, uint64 (N,), some of which are near others."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, number, dtype=np.uint64)
    copies = rng.permutation(number)[: number // 50]
    originals = rng.integers(0, number, len(copies))
    flips = np.zeros(len(copies), np.uint64)
    for _ in range(DISTANCE_BITS):
        flips ^= np.uint64(1) << rng.integers(0, 64, len(copies)).astype(np.uint64)
    hashes[copies] = hashes[originals] ^ flips
    return hashes


def compare_all(hashes: NDArray[np.uint64]) -> int:
    """Count near pairs by comparing all with all."""
    return sum(
        int(are_near(hashes[:one], int(hashes[one]), DISTANCE_BITS).sum()) for one in range(len(hashes))
    )


def draw_pictures(number: int) -> list[LabelledPicture]:
    """Draw labelled pictures of 640 x 480 px with about 7 ellipses each; no pixels."""
    rng = np.random.default_rng(1)
    pictures = []
    for index in range(number):
        count = int(rng.integers(1, _MOST_INSTANCES + 1))
        sizes = rng.integers(*_SIDES_PX, (count, 2))
        corners = (rng.random((count, 2)) * ((_HEIGHT_PX, _WIDTH_PX) - sizes)).astype(int)
        parts = [
            (int(left), int(top), _ellipse(int(height), int(width)))
            for (top, left), (height, width) in zip(corners, sizes, strict=True)
        ]
        masks = place_masks(parts, height_px=_HEIGHT_PX, width_px=_WIDTH_PX)
        classes = rng.integers(0, NUM_CLASSES, count).tolist()
        name = f"{index:06}"
        pictures.append(
            LabelledPicture(
                name,
                name,
                name,
                _WIDTH_PX,
                _HEIGHT_PX,
                "drawn",
                name,
                "train",
                "data-v1",
                "human",
                tuple(map(LabelledInstance, classes, masks)),
            )
        )
    return pictures


def _ellipse(height: int, width: int) -> NDArray[np.bool_]:
    rows = (np.arange(height)[:, None] + 0.5) / height * 2 - 1
    columns = (np.arange(width)[None] + 0.5) / width * 2 - 1
    return np.asarray(rows**2 + columns**2 <= 1)


if __name__ == "__main__":
    main()
