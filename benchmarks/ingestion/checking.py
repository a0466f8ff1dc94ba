"""Read and check one drawn COCO file and print the cost: ``python -m benchmarks.ingestion.checking FILE``.

`benchmarks.ingestion.reading` draws the file and runs this in a process of its own, so that neither drawing
nor PyTorch counts.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from dataset.bends.evidence import Batch
from dataset.bends.mending import judge_bends
from dataset.coco.document import read_coco
from dataset.coco.validation import FoundPicture, Reading, validate_batch

WIDTH_PX, HEIGHT_PX = 640, 480


def main() -> None:
    """Measure and print."""
    file = Path(sys.argv[1])
    start = time.process_time()
    coco = read_coco(file)
    read_s, read_mb = time.process_time() - start, peak_mb()
    found = {image["file_name"]: found_picture(image["file_name"]) for image in coco.images}
    start = time.process_time()
    report, _, _ = judge_bends(
        Batch(coco, Reading()),
        lambda batch: validate_batch(batch.coco, found, reading=batch.reading),
        is_mending=False,
    )
    figures = {
        "file, MB": file.stat().st_size // 10**6,
        "reading, CPU s": round(read_s, 2),
        "reading, peak memory of the process, MB": read_mb,
        "checking, CPU s": round(time.process_time() - start, 1),
        "checking, peak memory of the process, MB": peak_mb(),
        "usable pictures": len(report.usable),
    }
    print(json.dumps(figures))


def peak_mb() -> int:
    """Return the most memory this process has held so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def found_picture(name: str) -> FoundPicture:
    """Return what looking at a picture would have found."""
    return FoundPicture(name, name, ".jpg", WIDTH_PX, HEIGHT_PX, 1, told_location=False, difference_hash=0)


if __name__ == "__main__":
    main()
