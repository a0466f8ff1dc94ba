"""Pictures of 20 x 20 px with filled rectangles as instances, so that every IoU can be worked out by hand."""

import numpy as np
import pytest

from evaluation.instances import Detections, GroundTruth, IouTable
from maskloop.masks import encode_masks

SIDE_PX = 20


def rectangles(boxes):
    masks = np.zeros((len(boxes), SIDE_PX, SIDE_PX), dtype=bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return encode_masks(masks)


@pytest.fixture
def annotated():
    """Build a GroundTruth from (class index, box) pairs, or (class index, box, True) for a crowd."""

    def build(*instances, picture_id="a", source="camera-1"):
        return GroundTruth(
            picture_id,
            source,
            SIDE_PX,
            SIDE_PX,
            np.array([instance[0] for instance in instances], dtype=np.int64),
            rectangles([instance[1] for instance in instances]),
            np.array([len(instance) > 2 for instance in instances], dtype=bool),
        )

    return build


@pytest.fixture
def detected():
    """Build Detections from (class index, box, score) triples."""

    def build(*instances):
        ranked = sorted(instances, key=lambda instance: -instance[2])
        boxes = [instance[1] for instance in ranked]
        return Detections(
            SIDE_PX,
            SIDE_PX,
            np.array(boxes, dtype=np.float32).reshape(-1, 4),
            np.array([instance[2] for instance in ranked], dtype=np.float32),
            np.array([instance[0] for instance in ranked], dtype=np.int64),
            rectangles(boxes),
        )

    return build


@pytest.fixture
def table():
    """Build an IouTable from (P, C) sums and counts."""

    def build(iou_sum, num_instances, *, picture_ids=None, num_false_positives=None):
        iou_sum, count = np.array(iou_sum, dtype=np.float64), np.array(num_instances, dtype=np.int64)
        ids = picture_ids or tuple(f"{index:03}" for index in range(len(iou_sum)))
        false = np.zeros_like(count) if num_false_positives is None else np.array(num_false_positives)
        names = tuple(f"class-{index}" for index in range(iou_sum.shape[1]))
        return IouTable(names, ids, ("camera-1",) * len(ids), 0.5, iou_sum, count, count, false)

    return build
