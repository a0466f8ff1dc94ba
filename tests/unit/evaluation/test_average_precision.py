import contextlib
import io
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.average_precision import average_precision, measure_average_precision
from evaluation.coco_matching import Extents
from evaluation.instances import Detections, GroundTruth
from maskloop.masks import encode_masks

A, B, EMPTY_CORNER = (0, 0, 10, 10), (10, 10, 20, 20), (0, 15, 5, 20)
NAMES = ("bolt", "nut")


def measure(detections, truths, kind="segm", **options):
    return measure_average_precision(detections, truths, class_names=NAMES, kind=kind, **options)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_a_perfect_detector_has_one_everywhere_it_is_asked(annotated, detected, kind):
    result = measure({"a": detected((0, A, 0.9), (1, B, 0.8))}, [annotated((0, A), (1, B))], kind)
    assert {name: value for name, value in result.figures.items() if np.isfinite(value)} == dict.fromkeys(
        ["AP", "AP50", "AP75", "AP_small", "AR_1", "AR_10", "AR_100", "AR_small"], 1.0
    )
    assert result.class_ap().tolist() == [1.0, 1.0]


def test_half_found_gives_the_51_recalls_up_to_one_half(annotated, detected):
    result = measure({"a": detected((0, A, 0.9))}, [annotated((0, A), (0, B))])
    assert result.figures["AP50"] == pytest.approx(51 / 101)
    assert result.figures["AR_100"] == 0.5


def test_a_better_scored_false_positive_halves_the_precision(annotated, detected):
    result = measure({"a": detected((0, EMPTY_CORNER, 0.9), (0, A, 0.8))}, [annotated((0, A))])
    assert result.figures["AP"] == pytest.approx(0.5)


def test_an_iou_of_0_7_passes_five_of_ten_thresholds(annotated, detected):
    result = measure({"a": detected((0, (0, 0, 7, 10), 0.9))}, [annotated((0, A))])
    assert result.ap[0, 0].tolist() == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    assert result.figures["AP"] == pytest.approx(0.5)


def test_equal_scores_are_ranked_by_picture_id_whatever_the_order_of_the_truths(annotated, detected):
    truths = [annotated((0, A), picture_id="b"), annotated(picture_id="a")]
    found = {"a": detected((0, EMPTY_CORNER, 0.5)), "b": detected((0, A, 0.5))}
    assert measure(found, truths).figures["AP50"] == pytest.approx(0.5)
    assert measure(found, truths[::-1]).figures["AP50"] == pytest.approx(0.5)


def test_detections_on_a_crowd_are_not_counted(annotated, detected):
    truth = annotated((0, A), (0, (10, 0, 20, 20), True))
    found = detected((0, (12, 0, 18, 8), 0.99), (0, (12, 9, 18, 18), 0.98), (0, A, 0.5))
    assert measure({"a": found}, [truth]).figures["AP"] == 1.0


def test_a_class_nobody_annotated_is_left_out_and_not_a_number(annotated, detected):
    result = measure({"a": detected((0, A, 0.9), (1, B, 0.9))}, [annotated((0, A))])
    assert result.figures["AP"] == 1.0
    assert np.isnan(result.class_ap()[1])
    assert np.isnan(result.class_ap50()[1])


def test_no_annotations_at_all_give_no_figure(detected, annotated):
    result = measure({"a": detected((0, A, 0.9))}, [annotated()])
    assert len(result.figures) == 12
    assert np.isnan(list(result.figures.values())).all()


def test_stated_areas_decide_the_size_class(annotated, detected):
    extents = {"a": Extents(np.array([A], dtype=np.float64), np.array([5_000.0]))}
    figures = measure({"a": detected((0, A, 0.9))}, [annotated((0, A))], extents=extents).figures
    assert figures["AP_medium"] == 1.0
    assert np.isnan(figures["AP_small"])


def test_limits_beyond_a_hundred_find_what_coco_cuts_off(annotated, detected):
    columns = [(x, 0, x + 1, 20) for x in range(20)]
    truth = annotated(*[(0, box) for box in columns])
    found = detected(*[(0, EMPTY_CORNER, 0.9)] * 100, *[(0, box, 0.5) for box in columns])
    figures = measure({"a": found}, [truth], max_detections=(100, 120)).figures
    assert figures["AR_100"] == 0.0
    assert figures["AR_120"] == 1.0


@pytest.mark.parametrize("limits", [(), (0, 10), (10, 1), (1, 1)])
def test_limits_that_do_not_increase_are_refused(limits):
    with pytest.raises(ValueError, match="increasing"):
        measure({}, [], max_detections=limits)


def test_precision_is_made_non_increasing_before_it_is_averaged():
    """One right of one, then one right of three, then two of four: 1/2 holds from recall 0.5 to 1."""
    precision, recall = np.array([1, 1 / 2, 1 / 3, 2 / 4]), np.array([0.5, 0.5, 0.5, 1.0])
    assert average_precision(precision, recall) == pytest.approx((51 * 1 + 50 * 0.5) / 101)


# --- against the evaluation everybody uses ------------------------------------------------------------


def random_case(seed, kind):
    """Pictures of 130 x 130 px, so that all three sizes occur, with crowds, ties and up to 140 detections."""
    random = np.random.default_rng(seed)
    truths, extents, detections = [], {}, {}
    for name in "abc"[: random.integers(1, 4)]:
        boxes = random_boxes(random, random.integers(0, 6))
        classes = random.integers(0, 2, len(boxes))
        truths.append(
            GroundTruth(name, "s", 130, 130, classes, filled(boxes), random.random(len(boxes)) < 0.25)
        )
        extents[name] = Extents(
            boxes + random.integers(-2, 3, boxes.shape) / 2, random.uniform(200, 12_000, len(boxes))
        )
        num_near = 0 if not len(boxes) else random.integers(0, 12)
        near = boxes[random.integers(0, max(1, len(boxes)), num_near)] + random.integers(-4, 5, (num_near, 4))
        far = random_boxes(random, random.choice([0, 3, 130]))
        found = np.clip(np.concatenate([near.reshape(-1, 4), far]), 0, 130)
        scores = np.sort(random.integers(1, 9, len(found)) / 8)[::-1].astype(np.float32)
        found = random.permutation(found)
        labels = random.integers(0, 2, len(found))
        detections[name] = Detections(130, 130, found.astype(np.float32), scores, labels, filled(found))
    return detections, truths, extents


def random_boxes(random, count):
    corner = random.integers(0, 90, (count, 2))
    return np.concatenate([corner, np.minimum(130, corner + random.integers(10, 120, (count, 2)))], axis=1)


def filled(boxes):
    masks = np.zeros((len(boxes), 130, 130), dtype=bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.astype(int), strict=True):
        mask[y0:y1, x0:x1] = True
    return encode_masks(masks)


def coco_evaluation(detections, truths, extents, kind):
    """Return pycocotools' twelve figures and its (T, R, C, A, L) precision."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        sides = []
        for annotations in (coco_truths(truths, extents), coco_results(detections, kind)):
            coco = COCO()
            coco.dataset = {
                "images": [{"id": truth.picture_id, "height": 130, "width": 130} for truth in truths],
                "categories": [{"id": 0, "name": "bolt"}, {"id": 1, "name": "nut"}],
                "annotations": [{"id": index + 1, **item} for index, item in enumerate(annotations)],
            }
            coco.createIndex()
            sides.append(coco)
        evaluation = COCOeval(*sides, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats, evaluation.eval["precision"]


def coco_item(picture_id, class_index, box, mask, area, is_crowd=0):
    x0, y0, x1, y1 = map(float, box)
    shape = {"bbox": [x0, y0, x1 - x0, y1 - y0], "segmentation": mask.to_coco(), "area": float(area)}
    return {"image_id": picture_id, "category_id": int(class_index), "iscrowd": int(is_crowd), **shape}


def coco_truths(truths, extents):
    return [
        coco_item(truth.picture_id, *parts)
        for truth in truths
        for stated in [extents[truth.picture_id]]
        for parts in zip(
            truth.class_indices, stated.boxes_xyxy, truth.masks, stated.areas_px, truth.is_crowd, strict=True
        )
    ]


def coco_results(detections, kind):
    items = []
    for name, found in detections.items():
        masks = found.masks_NHW()
        for index, box in enumerate(found.boxes_xyxy):
            area = masks[index].sum() if kind == "segm" else (box[2] - box[0]) * (box[3] - box[1])
            item = coco_item(name, found.class_indices[index], box, found.masks[index], area)
            items.append({**item, "score": float(found.scores[index])})
    return items


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_every_figure_equals_pycocotools(kind, seed):
    detections, truths, extents = random_case(seed, kind)
    stats, precision = coco_evaluation(detections, truths, extents, kind)
    measured = measure(detections, truths, kind, extents=extents)
    figures = np.nan_to_num(list(measured.figures.values()), nan=-1.0)
    np.testing.assert_allclose(figures, stats, rtol=0, atol=1e-9)
    theirs = precision[..., 2].mean(axis=1).transpose(1, 2, 0)
    np.testing.assert_allclose(np.nan_to_num(measured.ap, nan=-1.0), theirs, rtol=0, atol=1e-9)
