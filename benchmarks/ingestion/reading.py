"""Cost of reading and checking a drawn COCO file: ``python -m benchmarks.ingestion.reading [PICTURES]``.

118,000 pictures, with about seven polygons each, have the size of COCO's training data of 2017. Pictures are
not read: what a look at each would find is drawn too. A process of its own does it, which imports what
`maskloop ingest` does. Figures are printed as JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.ingestion.checking import HEIGHT_PX, WIDTH_PX
from benchmarks.provenance import describe_run

NUM_PICTURES: Final = 8_000
NUM_CLASSES: Final = 80
_VERTICES: Final = 42
_INSTANCES: Final = 7.3


def main() -> None:
    """Draw, measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingestion.reading", description=__doc__)
    parser.add_argument("pictures", type=int, nargs="?", default=NUM_PICTURES)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "annotations.json"
        drawn = {"pictures": wanted.pictures, "instances": draw_file(file, wanted.pictures)}
        command = [sys.executable, "-m", "benchmarks.ingestion.checking", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    print(json.dumps({**describe_run(), **drawn, **json.loads(done.stdout)}, indent=1))


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
                centre = rng.uniform(radii, (WIDTH_PX - radii[0], HEIGHT_PX - radii[1]))
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
            {"id": one, "file_name": f"{one:012}.jpg", "width": WIDTH_PX, "height": HEIGHT_PX}
            for one in range(1, num_pictures + 1)
        ]
        categories = [{"id": one, "name": f"class {one}"} for one in range(1, NUM_CLASSES + 1)]
        out.write(f'],"images":{json.dumps(images)},"categories":{json.dumps(categories)}}}')
    return number


if __name__ == "__main__":
    main()
