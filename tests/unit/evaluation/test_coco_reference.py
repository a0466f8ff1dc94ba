"""The twelve published figures of COCO's own example, where the reference files lie beside the checkout."""

import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.average_precision import measure_average_precision
from evaluation.coco_matching import Extents
from evaluation.instances import Detections, GroundTruth
from maskloop.masks import encode_masks, rle_from_coco

DATA = Path(os.environ.get("MASKLOOP_SHARED_DATA", Path(__file__).parents[4] / "shared" / "data"))
REFERENCE = DATA / "cocoeval_reference"

pytestmark = pytest.mark.skipif(
    not REFERENCE.is_dir(),
    reason="COCO's reference files are not beside this checkout (test_average_precision needs none)",
)


def xyxy(box_xywh):
    x, y, width, height = box_xywh
    return [x, y, x + width, y + height]


def read_json(name):
    return json.loads((REFERENCE / name).read_text())


def by_picture(items):
    groups = defaultdict(list)
    for item in items:
        groups[item["image_id"]].append(item)
    return groups


def read_truths(data, class_of):
    annotations = by_picture(data["annotations"])
    truths, extents = [], {}
    for image in data["images"]:
        own, height, width = annotations[image["id"]], image["height"], image["width"]
        name = f"{image['id']:012}"
        truths.append(
            GroundTruth(
                name,
                "val2014",
                height,
                width,
                np.array([class_of[a["category_id"]] for a in own], dtype=np.int64),
                tuple(rle_from_coco(a["segmentation"], height, width) for a in own),
                np.array([bool(a["iscrowd"]) for a in own]),
            )
        )
        boxes = np.array([xyxy(a["bbox"]) for a in own], dtype=np.float64).reshape(-1, 4)
        extents[name] = Extents(boxes, np.array([a["area"] for a in own], dtype=np.float64))
    return truths, extents


def read_detections(results, truths, class_of):
    found = by_picture(results)
    detections = {}
    for truth in truths:
        own = sorted(found[int(truth.picture_id)], key=lambda item: -item["score"])
        size = truth.height_px, truth.width_px
        empty = encode_masks(np.zeros((1, *size), dtype=bool))[0]
        # float64, because one box here overlaps by exactly 0.95: rounded to float32 it would miss
        boxes: Any = np.array([xyxy(d.get("bbox", [0, 0, 0, 0])) for d in own], np.float64).reshape(-1, 4)
        detections[truth.picture_id] = Detections(
            *size,
            boxes,
            np.array([d["score"] for d in own], dtype=np.float32),
            np.array([class_of[d["category_id"]] for d in own], dtype=np.int64),
            tuple(rle_from_coco(d["segmentation"], *size) if "segmentation" in d else empty for d in own),
        )
    return detections


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_the_published_figures_come_out_to_nine_digits(kind):
    data = read_json("instances_val2014_100.json")
    class_of = {category["id"]: index for index, category in enumerate(data["categories"])}
    truths, extents = read_truths(data, class_of)
    detections = read_detections(read_json(f"instances_val2014_fake{kind}100_results.json"), truths, class_of)
    measured = measure_average_precision(
        detections, truths, class_names=[c["name"] for c in data["categories"]], kind=kind, extents=extents
    )
    expected = read_json("expected.json")
    assert list(measured.figures) == expected["keys"]
    np.testing.assert_allclose(list(measured.figures.values()), expected[kind], rtol=0, atol=1e-9)
    assert np.isfinite(measured.class_ap()).sum() == 70
