#!/usr/bin/env bash
# pycocotools 2.0.11: a box of NaN overlaps every object. The intersection is made with fmin and fmax, which ignore NaN, and a
# NaN overlap is below no threshold, so the detections of a network that has diverged are all true positives.
# faster-coco-eval 1.8.0 and hotcoco 1.3.0, which give pycocotools' figures otherwise, say 0.
# Expected: AP 0, or an error.
# Seen: 20 pictures, one object each, every detected box (NaN, NaN, NaN, NaN): AP 1.0 and AR 1.0; boxes of a finite size at a
# wrong place 0.0.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" pycocotools==2.0.11 faster-coco-eval==1.8.0 hotcoco==1.3.0 \
  numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import contextlib
import copy
import io

import faster_coco_eval
import hotcoco
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

NAN = float("nan")
TRUTH = {
    "images": [{"id": n, "width": 400, "height": 400} for n in range(1, 21)],
    "categories": [{"id": 1, "name": "part"}],
    "annotations": [{"id": n, "image_id": n, "category_id": 1, "iscrowd": 0, "area": 10000, "bbox": [10, 10, 100, 100]}
                    for n in range(1, 21)]}


def original(found):
    coco = COCO()
    coco.dataset = copy.deepcopy(TRUTH)
    coco.createIndex()
    return COCOeval(coco, coco.loadRes(copy.deepcopy(found)), "bbox")


def faster(found):
    coco = faster_coco_eval.COCO(copy.deepcopy(TRUTH))
    return faster_coco_eval.COCOeval_faster(coco, coco.loadRes(copy.deepcopy(found)), "bbox")


def hot(found):
    coco = hotcoco.COCO(copy.deepcopy(TRUTH))
    return hotcoco.COCOeval(coco, coco.load_res(copy.deepcopy(found)), "bbox")


def figures(evaluator):
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return round(float(evaluator.stats[0]), 3), round(float(evaluator.stats[8]), 3)


for name, box, stated in (("all NaN", [NAN] * 4, 1.0),
                          ("finite, wrong place", [300, 300, 50, 50], 0.0)):
    found = [{"image_id": n, "category_id": 1, "bbox": list(box), "score": 0.9} for n in range(1, 21)]
    with contextlib.redirect_stdout(io.StringIO()):
        made = original(found), faster(found), hot(found)
    seen, *others = map(figures, made)
    print(f"{name}: pycocotools AP and AR {seen}, faster-coco-eval {others[0]}, hotcoco {others[1]}")
    assert seen == (stated, stated), "the behaviour has changed"
    assert others == [(0.0, 0.0), (0.0, 0.0)], "the behaviour has changed"
PY
