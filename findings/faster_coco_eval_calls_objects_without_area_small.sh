#!/usr/bin/env bash
# faster-coco-eval 1.8.0: truth without `area` counts as area 0, so every object is small: AP_small carries the whole figure,
# AP_medium and AP_large are -1, and large objects are reported lost as "small". pycocotools, whose figures it gives otherwise,
# raises KeyError on such a file; hotcoco 1.3.0 works the area out. Nothing is said.
# Expected: KeyError as in pycocotools, or the area of the box or mask.
# Seen: three objects of 100 x 100 px, all found: AP small 1.0, medium -1, large -1; with area 10,000 small -1, large 1.0.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" faster-coco-eval==1.8.0 hotcoco==1.3.0 pycocotools==2.0.11 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import contextlib
import copy
import io

import faster_coco_eval
import hotcoco
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

BOXES = [[10 + 110 * n, 10, 100, 100] for n in range(3)]


def truth(**more):
    return {"images": [{"id": 1, "width": 400, "height": 400}], "categories": [{"id": 1, "name": "part"}],
            "annotations": [{"id": n + 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": list(box), **more}
                            for n, box in enumerate(BOXES)]}


def found():
    return [{"image_id": 1, "category_id": 1, "bbox": list(box), "score": 0.9} for box in BOXES]


def original(dataset):
    coco = COCO()
    coco.dataset = copy.deepcopy(dataset)
    coco.createIndex()
    return COCOeval(coco, coco.loadRes(found()), "bbox")


def faster(dataset):
    coco = faster_coco_eval.COCO(copy.deepcopy(dataset))
    return faster_coco_eval.COCOeval_faster(coco, coco.loadRes(found()), "bbox")


def hot(dataset):
    coco = hotcoco.COCO(copy.deepcopy(dataset))
    return hotcoco.COCOeval(coco, coco.load_res(found()), "bbox")


def by_size(make, dataset):
    """AP of small, medium and large objects."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = make(dataset)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [round(float(figure), 3) for figure in evaluator.stats[3:6]]


for make in (original, faster, hot):
    figures = by_size(make, truth(area=10000))
    print(f"{make.__name__}, with area: small, medium, large {figures}")
    assert figures == [-1, -1, 1], "the behaviour has changed"
try:
    by_size(original, truth())
    raise SystemExit("the behaviour of pycocotools has changed")
except KeyError as error:
    print("original, without area: KeyError", error)
seen = by_size(faster, truth()), by_size(hot, truth())
print("without area: faster", seen[0], "hot", seen[1])
assert seen == ([1, -1, -1], [-1, -1, 1]), "the behaviour has changed"
PY
