"""Cost over growing sizes: ``python -m benchmarks.growth [SUBJECT]``, CPU seconds.

``pictures`` judges two drawn models on test pictures with 80 classes, and writes the approval page;
``replay`` makes the request of a retraining; ``near`` looks for near-duplicates; ``verdict`` judges 200
samples of a log that holds more; ``reconcile`` is a turn of the loop with nothing due.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from typing import Final

import numpy as np

from benchmarks.growth.loop import grow_near_duplicates, grow_reconcile, grow_replay, grow_verdict
from benchmarks.provenance import describe_run
from benchmarks.speed.evaluate import draw_instances
from evaluation.model_evaluation import evaluate
from maskloop.pages.embedded_pictures import embed_picture
from maskloop.settings.workspace_settings import GateSettings
from registry.evidence.approval_page import render_page
from registry.evidence.diagnosis import diagnose
from registry.evidence.judged_evidence import MAX_SIDE_PX, Panel, ShownPicture, class_rows, source_rows
from tests.fakes.approval_pages import approval_page, evidence

_CLASS_NAMES: Final = [f"class {index}" for index in range(80)]
_PANEL_PX: Final = 480


def main() -> None:
    """Print what was measured at, then a line of JSON for each size."""
    subjects = {
        "pictures": grow_pictures,
        "replay": grow_replay,
        "near": grow_near_duplicates,
        "verdict": grow_verdict,
        "reconcile": grow_reconcile,
    }
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("subject", nargs="?", choices=[*subjects], help="default: all")
    parser.add_argument("--pictures", type=int, nargs="+", default=[100, 1000, 5000])
    for subject in ("replay", "near"):
        parser.add_argument(f"--{subject}", type=int, nargs="+", default=[8_000, 32_000, 118_000])
    parser.add_argument("--verdict", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--reconcile", type=int, nargs="+", default=[100, 1_000, 5_000])
    wanted = parser.parse_args()
    print(json.dumps(describe_run()), flush=True)
    for subject in [wanted.subject] if wanted.subject else subjects:
        for figures in subjects[subject](sorted(getattr(wanted, subject))):
            print(json.dumps({"subject": subject, **figures}), flush=True)


def grow_pictures(sizes: list[int]) -> Iterator[dict[str, float]]:
    """Judge two models on ever more test pictures: 7 annotated instances and 36 detections each."""
    noise = np.random.default_rng(0).integers(0, 255, (_PANEL_PX, _PANEL_PX, 3), dtype=np.uint8)
    drawn = embed_picture(noise, max_side_px=MAX_SIDE_PX)
    panels = tuple(Panel(title, drawn) for title in ("annotated", "champion", "candidate"))
    for size in sizes:
        candidate, truths = draw_instances(size, num_classes=len(_CLASS_NAMES), seed=0)
        champion, _ = draw_instances(size, num_classes=len(_CLASS_NAMES), seed=1)
        began = time.process_time()
        new = evaluate(candidate, truths, class_names=_CLASS_NAMES, score_threshold=0.5)
        old = evaluate(champion, truths, class_names=_CLASS_NAMES, score_threshold=0.5)
        evaluated, gates = time.process_time(), GateSettings()
        kept = evidence(
            *class_rows(new.iou, old.iou, (), gates, seed=0),
            source_rows=source_rows(new.iou, old.iou, gates, seed=0),
            candidate_diagnosis=diagnose(new),
            champion_diagnosis=diagnose(old),
            pictures=(ShownPicture("lost most", panels),) * 4,
            num_pictures=size,
        )
        page = render_page(approval_page(evidence=kept))
        yield {
            "size": size,
            "evaluate_s": evaluated - began,
            "page_s": time.process_time() - evaluated,
            "page_mb": len(page.encode()) / 1e6,
        }


if __name__ == "__main__":
    main()
