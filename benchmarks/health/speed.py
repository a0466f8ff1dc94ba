"""CPU time of the checks and of the data's page as the data grow: ``python -m benchmarks.health.speed``.

Near-duplicates by bands of hashes against comparing all with all, pictures of the data among kept samples,
checks of labels that need no model, and the page of `maskloop data report`, whose examples all show one
picture. Hashes, masks and classes are drawn; one hash in fifty is another one with three bits changed.
Figures are printed as JSON, with the memory that the process held at most.
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.provenance import describe_run
from dataset.health.class_table import tabulate_classes
from dataset.health.copies import candidates_for_copies
from dataset.health.outliers import find_outliers
from dataset.health.repeats import find_labelled_twice
from dataset.health.sent_again import Sent, find_sent_again
from dataset.health.several_parts import find_several_parts
from dataset.labelled_pictures import DatasetVersion, LabelledInstance, LabelledPicture
from dataset.pictures.decoding import encode_png
from dataset.pictures.looks import are_near, near_pairs
from flows.health.report import describe_data
from flows.health.report_page import write_report_page
from maskloop.masks import place_masks

SIZES: Final = (5_000, 20_000, 118_000)
DISTANCE_BITS: Final = 3
NUM_CLASSES: Final = 80
NUM_KEPT: Final = 100_000
NUM_KNOWN: Final = 2_000
_HEIGHT_PX, _WIDTH_PX = 480, 640
_MOST_INSTANCES: Final = 14
_SIDES_PX: Final = (8, 96)


def main() -> None:
    """Measure and print."""
    figures = {
        **describe_run(),
        "near-duplicates": [measure_near_pairs(draw_hashes(number)) for number in SIZES],
        "kept samples": [measure_sent(number) for number in (*SIZES[:-1], NUM_KEPT)],
        "labels": [measure_labels(draw_pictures(number)) for number in SIZES],
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


def measure_sent(num_sent: int) -> dict[str, Any]:
    """Time the search for data among kept samples, a tenth of them near copies and half of them of one look.

    Cells are not read: the pictures that are read do not grow with the samples.
    """
    hashes = draw_hashes(2 * num_sent)
    names = {f"{number:06}": value for number, value in enumerate(hashes[:NUM_KNOWN].tolist())}
    pictures = [replace(one, digest=name) for one, name in zip(draw_pictures(NUM_KNOWN), names, strict=True)]
    near = [value ^ 1 for value in hashes[: num_sent // 10].tolist()]
    one_look = [int(hashes[0])] * (num_sent // 2)
    values = [*near, *one_look, *hashes[NUM_KNOWN:].tolist()][:num_sent]
    sent = [Sent(f"sent {number}", value, 1) for number, value in enumerate(values)]
    cells = bytes(range(256))
    find = partial(find_sent_again, pictures, names, sent, DISTANCE_BITS, lambda _: cells, lambda _: cells)
    found, seconds = clock(find)
    return {"samples": len(sent), "pictures": NUM_KNOWN, "found": len(found), "CPU s": seconds}


def measure_labels(pictures: Sequence[LabelledPicture]) -> dict[str, Any]:
    """Time the checks of labels and the page of the data."""
    return measure_checks(pictures) | measure_report(pictures)


def measure_report(pictures: Sequence[LabelledPicture]) -> dict[str, Any]:
    """Time `maskloop data report` on an opened version, and weigh its page."""
    names = tuple(f"class {index}" for index in range(NUM_CLASSES))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        pixels = np.random.default_rng(2).integers(0, 256, (_HEIGHT_PX, _WIDTH_PX, 3), dtype=np.uint8)
        (root / "drawn.png").write_bytes(encode_png(pixels))
        shown = tuple(replace(picture, file="drawn.png") for picture in pictures)
        version = DatasetVersion("data-v1", "drawn", "", "", names, shown, root)
        report, seconds = clock(lambda: describe_data(version, as_of=datetime.now(UTC)))
        page, page_seconds = clock(lambda: write_report_page(root / "page.html", report, max_mpx=1.0))
        return {
            "report, CPU s": seconds,
            "report's page, CPU s": page_seconds,
            "report's page, MB": round(page.stat().st_size / 1e6, 2),
        }


def measure_checks(pictures: Sequence[LabelledPicture]) -> dict[str, Any]:
    """Time the checks of labels that need no model."""
    names = [str(index) for index in range(NUM_CLASSES)]
    parts: dict[str, Callable[[], object]] = {
        "labelled twice": lambda: find_labelled_twice(pictures),
        "copies": lambda: candidates_for_copies(pictures),
        "several parts": lambda: find_several_parts(pictures, NUM_CLASSES),
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
