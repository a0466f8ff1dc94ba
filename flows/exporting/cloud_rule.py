"""When a device asks the cloud service: a limit of doubt for a wanted share, and what that is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from evaluation.instances import Detections, ScoreThreshold
from evaluation.iou import measure_mask_iou
from models.loading.ground_truth import ground_truth
from serving.edge.doubt import measure_doubt
from serving.edge.manifest import CloudRule

Answers = Mapping[str, Detections]
"""By a picture's digest."""


def choose_limit(doubts: Sequence[float], share: float) -> float:
    """Return the smallest doubt that at most ``share`` of the pictures exceed, 0..1.

    >>> choose_limit([0.1, 0.9, 0.5, 0.7], 0.25), choose_limit([0.1, 0.9, 0.5, 0.7], 0.0)
    (0.7, 0.9)
    """
    allowed = math.floor(share * len(doubts) + 1e-9)
    ordered = sorted(doubts, reverse=True)
    return ordered[allowed] if allowed < len(ordered) else 0.0


def make_rule(
    edge_val: Answers,
    edge_test: Answers,
    cloud_told: Answers,
    data: DatasetVersion,
    *,
    threshold: ScoreThreshold,
    share: float,
    cloud_version: str,
) -> CloudRule:
    """Choose the limit on validation pictures; measure its share and gain on test pictures.

    Args:
        edge_val: The bundle's answers about validation pictures, low scores included.
        edge_test: About test pictures.
        cloud_told: What the cloud's model tells of the same ones, at its own threshold.
        data: Says what is really there.
        threshold: From this score on the bundle's detections are told.
        share: Of pictures that may go to the cloud, 0..1.
        cloud_version: Of the cloud's model.
    """
    limit = choose_limit([measure_doubt(found, threshold) for found in edge_val.values()], share)
    sent = {digest for digest, found in edge_test.items() if measure_doubt(found, threshold) > limit}
    told = only_told(edge_test, threshold)
    hybrid = {digest: (cloud_told if digest in sent else told)[digest] for digest in told}
    pictures = [picture for picture in data.by_split["test"] if picture.digest in told]
    edge, both, cloud = (
        _measure(answers, pictures, data.class_names) for answers in (told, hybrid, cloud_told)
    )
    return CloudRule(
        max_doubt=limit,
        wanted_share=share,
        share=len(sent) / len(edge_test),
        cloud_version=cloud_version,
        quality_edge=edge,
        quality_hybrid=both,
        quality_cloud=cloud,
        num_chosen_on=len(edge_val),
        num_measured_on=len(edge_test),
    )


def only_told(answers: Answers, threshold: ScoreThreshold) -> Answers:
    """Return answers without what no client is told."""
    return {digest: found.select(found.reach(threshold)) for digest, found in answers.items()}


def _measure(told: Answers, pictures: Sequence[LabelledPicture], class_names: Sequence[str]) -> float | None:
    """Return the mean of the classes' mask IoU, 0..1; None without an instance."""
    truths = [ground_truth(picture) for picture in pictures]
    table = measure_mask_iou(told, truths, class_names=class_names, score_threshold=0.0)
    known = table.class_iou()[table.num_instances.sum(axis=0) > 0]
    return float(np.mean(known)) if len(known) else None
