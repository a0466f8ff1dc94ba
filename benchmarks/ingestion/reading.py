"""Cost of reading and checking a drawn COCO file: ``python -m benchmarks.ingestion.reading [PICTURES]``.

118,000 pictures, with about seven polygons each, have the size of COCO's training data of 2017. Pictures are
not read: what a look at each would find is drawn too. Figures are printed as JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.provenance import describe_run
from dataset.bends.evidence import Batch
from dataset.bends.mending import judge_bends
from dataset.coco.document import read_coco
from dataset.coco.validation import FoundPicture, Reading, validate_batch

NUM_PICTURES: Final = 8_000
NUM_CLASSES: Final = 80
_WIDTH_PX, _HEIGHT_PX = 640, 480
_VERTICES: Final = 42
_INSTANCES: Final = 7.3


def main() -> None:
    """Draw, measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingestion.reading", description=__doc__)
    parser.add_argument("pictures", type=int, nargs="?", default=NUM_PICTURES)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "annotations.json"
        num_instances = draw_file(file, wanted.pictures)
        start = time.process_time()
        coco = read_coco(file)
        read_s = time.process_time() - start
        read_mb = peak_mb()
        found = {image["file_name"]: found_picture(image["file_name"]) for image in coco.images}
        start = time.process_time()
        report, _, _ = judge_bends(
            Batch(coco, Reading()),
            lambda batch: validate_batch(batch.coco, found, reading=batch.reading),
            is_mending=False,
        )
        figures = {
            **describe_run(),
            "pictures": wanted.pictures,
            "instances": num_instances,
            "file, MB": file.stat().st_size // 10**6,
            "reading, CPU s": round(read_s, 2),
            "reading, peak memory of the process, MB": read_mb,
            "checking, CPU s": round(time.process_time() - start, 1),
            "checking, peak memory of the process, MB": peak_mb(),
            "usable pictures": len(report.usable),
        }
    print(json.dumps(figures, indent=1))


def peak_mb() -> int:
    """Return the most memory this process has held so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def found_picture(name: str) -> FoundPicture:
    """Return what looking at a picture would have found."""
    return FoundPicture(name, name, ".jpg", _WIDTH_PX, _HEIGHT_PX, 1, told_location=False, difference_hash=0)


def draw_file(file: Path, num_pictures: int) -> int:
    """Write a COCO file piece by piece; return its number of instances."""
    rng = np.random.default_rng(3)
    angles = np.linspace(0, 2 * np.pi, _VERTICES, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    number = 0
    with file.open("w") as out:
        out.write('{"annotations":[')
        for picture in range(1, num_pictures + 1):
            for _ in range(int(rng.poisson(_INSTANCES))):
                radii = rng.uniform(5, 60, 2)
                centre = rng.uniform(radii, (_WIDTH_PX - radii[0], _HEIGHT_PX - radii[1]))
                outline = centre + radii * circle * rng.uniform(0.8, 1.0, (_VERTICES, 1))
                number += 1
                record: dict[str, Any] = {
                    "segmentation": [outline.round(2).ravel().tolist()],
                    "area": round(float(np.pi * radii.prod()), 2),
                    "iscrowd": 0,
                    "image_id": picture,
                    "bbox": [round(float(side), 2) for side in (*(centre - radii), *(2 * radii))],
                    "category_id": int(rng.integers(1, NUM_CLASSES + 1)),
                    "id": number,
                }
                out.write(("," if number > 1 else "") + json.dumps(record))
        images = [
            {"id": one, "file_name": f"{one:012}.jpg", "width": _WIDTH_PX, "height": _HEIGHT_PX}
            for one in range(1, num_pictures + 1)
        ]
        categories = [{"id": one, "name": f"class {one}"} for one in range(1, NUM_CLASSES + 1)]
        out.write(f'],"images":{json.dumps(images)},"categories":{json.dumps(categories)}}}')
    return number


if __name__ == "__main__":
    main()
