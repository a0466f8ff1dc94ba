#!/usr/bin/env bash
# torchmetrics 1.9.0: the default thresholds of MeanAveragePrecision are made in float32, so 0.6 is 0.6000000238 and an overlap of
# exactly 0.6 is no match at 0.6. pycocotools, the default backend, has its thresholds in float64 and counts it. Small boxes hit
# such overlaps often: 3 of 5 columns, 6 of 10 rows. The same list given by hand as Python floats counts them.
# Expected: the defaults are COCO's thresholds.
# Seen: overlap 0.6: AP 0.2 by default, 0.3 with iou_thresholds=[0.5, 0.55, ..., 0.95] by hand, 0.3 by pycocotools.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" torchmetrics==1.9.0 torch==2.15.0 torchvision==0.29.2 pycocotools==2.0.11 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PY'
import contextlib
import io

import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchmetrics.detection import MeanAveragePrecision

BY_HAND = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]


def original(width):
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"images": [{"id": 1, "width": 20, "height": 20}], "categories": [{"id": 1, "name": "part"}],
                        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 100,
                                         "bbox": [0, 0, 10, 10]}]}
        coco.createIndex()
        found = coco.loadRes([{"image_id": 1, "category_id": 1, "bbox": [0, 0, width, 10], "score": 0.9}])
        evaluator = COCOeval(coco, found, "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return round(float(evaluator.stats[0]), 3)


def ap(width, thresholds=None):
    metric = MeanAveragePrecision(iou_thresholds=thresholds)
    label = torch.tensor([1])
    metric.update([{"boxes": torch.tensor([[0.0, 0.0, width, 10.0]]), "scores": torch.tensor([0.9]), "labels": label}],
                  [{"boxes": torch.tensor([[0.0, 0.0, 10.0, 10.0]]), "labels": label}])
    return round(float(metric.compute()["map"]), 3)


for width in (6, 8):
    seen = ap(width), ap(width, BY_HAND), original(width)
    print(f"overlap {width / 10}: default {seen[0]}, thresholds by hand {seen[1]}, pycocotools {seen[2]}")
    assert seen[0] == round(seen[2] - 0.1, 3) and seen[1] == seen[2], "the behaviour has changed"
PY
