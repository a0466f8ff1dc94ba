"""Row 3: COCO's figures, beside hotcoco or pycocotools."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from benchmarks.speed.evaluate import HOTCOCO, OURS, PYCOCOTOOLS, measure_evaluate
from benchmarks.table.lines import Line, Row, find_line

_MEGABYTE: Final = 10**6


def measure_average_precision(quick: bool) -> Row:
    """Compute COCO's figures with pycocotools, hotcoco where it is installed, and ours."""
    peer = HOTCOCO if find_spec("hotcoco") else PYCOCOTOOLS
    report = measure_evaluate(quick=quick, budget_s=3.0 if quick else 15.0)
    lines = []
    for kind in ("bbox", "segm"):
        own, other = (find_line(report, kind, name) for name in (OURS, peer))
        figures = {"CPU s": own.cpu_s, "MB": (own.peak_bytes or 0) / _MEGABYTE, f"{peer}, CPU s": other.cpu_s}
        goal = 1.1 if peer == HOTCOCO else None
        lines.append(Line(f"{kind}, beside {peer}", own.cpu_s / other.cpu_s, goal=goal, figures=figures))
    remark = "" if peer == HOTCOCO else "hotcoco is not installed here, so pycocotools is the peer"
    return Row("COCO AP", tuple(lines), remark)
