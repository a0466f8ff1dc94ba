"""COCO's average precision: pycocotools, hotcoco where it is installed, and ours; and the rest of judging."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.provenance import describe_run
from benchmarks.speed.report import Line, Report, lines_of, memory_of
from benchmarks.timing import take_turns
from evaluation.average_precision import measure_average_precision
from evaluation.bootstrap import paired_drop
from evaluation.calibration import measure_calibration
from evaluation.coco_matching import Kind
from evaluation.confusion import measure_confusion
from evaluation.curves import trace_curves
from evaluation.error_types import measure_error_types
from evaluation.findings import judge_detections
from evaluation.instances import Detections, GroundTruth, IouTable
from evaluation.iou import measure_mask_iou
from maskloop.masks import Rle, areas_px, boxes_xyxy, rle_from_coco

PYCOCOTOOLS, HOTCOCO, OURS = "pycocotools", "hotcoco", "maskloop"
NUM_PICTURES, NUM_PICTURES_QUICK = 1000, 100
_HEIGHT_PX, _WIDTH_PX = 480, 640
_QUESTION = (
    "Twelve COCO figures from instances in memory: building the tool's own index is counted, reading and "
    "writing files is not."
)


def measure_evaluate(*, quick: bool, budget_s: float) -> Report:
    """Time all on drawn pictures with 7 annotated instances and 36 detections each, in 80 classes."""
    num_pictures = NUM_PICTURES_QUICK if quick else NUM_PICTURES
    detections, truths = draw_instances(num_pictures, num_classes=80, seed=0)
    lines: list[Line] = []
    remarks: dict[str, object] = {}
    for kind in ("bbox", "segm"):
        contestants = _contestants(detections, truths, kind)
        figures = {name: run() for name, run in contestants.items()}
        off = {name: f"{np.abs(found - figures[PYCOCOTOOLS]).max():.1g}" for name, found in figures.items()}
        remarks[f"{kind}: largest difference of a figure from pycocotools"] = off
        rounds = take_turns(contestants, rounds=1 if quick else 5, budget_s=budget_s)
        case = f"{kind}, {num_pictures} pictures, {sum(map(len, detections.values()))} detections"
        lines += lines_of(case, rounds, reference=PYCOCOTOOLS, memory=memory_of(contestants))
    for case, parts in (
        (f"parts of one evaluation, {num_pictures} pictures", _parts_of_evaluation(detections, truths)),
        _bootstrap(num_pictures=num_pictures // 2 if quick else 5000, resamples=1000 if quick else 10_000),
    ):
        rounds = take_turns(parts, rounds=1 if quick else 5, budget_s=budget_s)
        lines += lines_of(case, rounds, reference=next(iter(parts)), memory=memory_of(parts))
    return Report("evaluate", _QUESTION, describe_run(), tuple(lines), remarks)


def _contestants(
    detections: dict[str, Detections], truths: list[GroundTruth], kind: Kind
) -> dict[str, Callable[[], Any]]:
    names = [str(index) for index in range(80)]

    def ours() -> Any:
        measured = measure_average_precision(detections, truths, class_names=names, kind=kind)
        return np.nan_to_num(list(measured.figures.values()), nan=-1.0)

    def pycocotools() -> Any:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        return run_coco_eval(COCO, COCOeval, detections, truths, kind)

    def hotcoco() -> Any:
        from hotcoco import COCO, COCOeval  # type: ignore[import-not-found,unused-ignore]

        return run_coco_eval(COCO, COCOeval, detections, truths, kind)

    return {PYCOCOTOOLS: pycocotools, **({HOTCOCO: hotcoco} if find_spec("hotcoco") else {}), OURS: ours}


def _parts_of_evaluation(
    detections: dict[str, Detections], truths: list[GroundTruth]
) -> dict[str, Callable[[], Any]]:
    """Return what `evaluate` measures besides average precision, and that of masks."""
    given: dict[str, Any] = {"class_names": [str(index) for index in range(80)]}

    def figures() -> Any:
        findings = judge_detections(detections, truths, **given)
        return trace_curves(findings), measure_error_types(findings), measure_calibration(findings)

    return {
        "average precision of masks": lambda: measure_average_precision(
            detections, truths, kind="segm", **given
        ),
        "class mask IoU": lambda: measure_mask_iou(detections, truths, score_threshold=0.5, **given),
        "confusion": lambda: measure_confusion(detections, truths, score_threshold=0.5, **given),
        "curves, error types, calibration": figures,
    }


def _bootstrap(*, num_pictures: int, resamples: int) -> tuple[str, dict[str, Callable[[], Any]]]:
    """Return the gates' paired bootstrap over 20 classes, on drawn figures of two models."""
    num_classes, random = 20, np.random.default_rng(0)
    shape = num_pictures, num_classes
    count = random.integers(0, 4, shape)
    ids = tuple(f"{picture:06}" for picture in range(num_pictures))

    def draw_table() -> IouTable:
        sums = count * random.uniform(0.5, 1.0, shape)
        names = tuple(map(str, range(num_classes)))
        return IouTable(names, ids, ("drawn",) * num_pictures, 0.5, sums, count, count, count)

    candidate, champion = draw_table(), draw_table()
    case = f"{resamples} resamples of {num_pictures} pictures, {num_classes} classes"
    return case, {"paired bootstrap": lambda: paired_drop(candidate, champion, resamples=resamples)}


def run_coco_eval(
    coco_class: Any,
    eval_class: Any,
    detections: dict[str, Detections],
    truths: list[GroundTruth],
    kind: Kind,
) -> Any:
    """Return pycocotools' ``stats``, from pycocotools or from what takes its place."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco_class()
        truth.dataset = _dataset(truths)
        truth.createIndex()
        evaluation = eval_class(truth, truth.loadRes(_results(detections, truths, kind)), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.asarray(evaluation.stats)


def _dataset(truths: list[GroundTruth]) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for image, truth in enumerate(truths, start=1):
        for index, mask, box, area, is_crowd in zip(
            truth.class_indices.tolist(),
            truth.masks,
            _xywh(truth.masks),
            areas_px(truth.masks).tolist(),
            truth.is_crowd.tolist(),
            strict=True,
        ):
            annotation = {"id": len(annotations) + 1, "image_id": image, "category_id": index + 1}
            stated = {"bbox": box, "area": area, "iscrowd": int(is_crowd), "segmentation": _coco(mask)}
            annotations.append({**annotation, **stated})
    return {
        "info": {},
        "images": [
            {"id": image, "height": truth.height_px, "width": truth.width_px}
            for image, truth in enumerate(truths, start=1)
        ],
        "annotations": annotations,
        "categories": [{"id": index + 1, "name": str(index)} for index in range(80)],
    }


def _results(
    detections: dict[str, Detections], truths: list[GroundTruth], kind: Kind
) -> list[dict[str, Any]]:
    """Return what a detector would write. A box beside a mask would make ``loadRes`` take its area."""
    results: list[dict[str, Any]] = []
    for image, truth in enumerate(truths, start=1):
        found = detections[truth.picture_id]
        where: list[Any] = _xywh(found.masks) if kind == "bbox" else [_coco(mask) for mask in found.masks]
        field = "bbox" if kind == "bbox" else "segmentation"
        for index, score, place in zip(
            found.class_indices.tolist(), found.scores.tolist(), where, strict=True
        ):
            results.append({"image_id": image, "category_id": index + 1, "score": score, field: place})
    return results


def _coco(mask: Rle) -> dict[str, Any]:
    return {"size": [mask.height_px, mask.width_px], "counts": mask.counts}


def _xywh(masks: tuple[Rle, ...]) -> list[list[float]]:
    boxes = boxes_xyxy(masks)
    boxes[:, 2:] -= boxes[:, :2]
    listed: list[list[float]] = boxes.tolist()
    return listed


def draw_instances(
    num_pictures: int, *, num_classes: int, seed: int
) -> tuple[dict[str, Detections], list[GroundTruth]]:
    """Return ellipses as annotations, and detections of which a part lies near them."""
    random = np.random.default_rng(seed)
    detections, truths = {}, []
    for picture in range(num_pictures):
        count, name = int(random.integers(1, 14)), f"{picture:06}"
        classes, shapes = random.integers(0, num_classes, count), _draw_shapes(random, count)
        near = random.integers(0, count, 24)
        jittered = shapes[near] * random.normal(1.0, 0.08, (24, 4))
        found = np.concatenate([jittered, _draw_shapes(random, 12)])
        found_classes = np.concatenate([classes[near], random.integers(0, num_classes, 12)])
        is_crowd = random.random(count) < 0.02
        size = _HEIGHT_PX, _WIDTH_PX
        truths.append(GroundTruth(name, "drawn", *size, classes, _encode(shapes), is_crowd))
        masks = _encode(found)
        scores = np.sort(random.random(36, dtype=np.float32))[::-1].copy()
        boxes = boxes_xyxy(masks).astype(np.float32)
        detections[name] = Detections(*size, boxes, scores, found_classes, masks)
    return detections, truths


def _draw_shapes(random: np.random.Generator, count: int) -> Any:
    """Return centre x, y and half axes of ellipses, float64 (N, 4), px."""
    centres = random.uniform((40, 40), (_WIDTH_PX - 40, _HEIGHT_PX - 40), (count, 2))
    return np.concatenate([centres, 5.0 * 24.0 ** random.random((count, 2))], axis=1)


def _encode(shapes: Any) -> tuple[Rle, ...]:
    angles = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    limit = np.array([_WIDTH_PX, _HEIGHT_PX])
    outlines = (
        np.clip(centre + half * circle, 0, limit)
        for centre, half in zip(shapes[:, :2], shapes[:, 2:], strict=True)
    )
    return tuple(rle_from_coco([outline.ravel().tolist()], _HEIGHT_PX, _WIDTH_PX) for outline in outlines)
