"""Answers to views and production samples, made up for the choice of what to label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from evaluation.instances import Detections
from maskloop.masks import encode_masks
from monitoring.drift.baseline import Baseline, build_baseline
from monitoring.features.observation import Observation
from monitoring.samples.values import Sample
from monitoring.selection.candidates import Candidate
from monitoring.selection.uncertainty import Uncertainty
from tests.fakes.drift_data import sample_of

SIDE_PX = 20


def answer(*found: tuple[int, float, tuple[int, int, int, int]]) -> Detections:
    """Return rectangles (x0, y0, x1, y1) as an answer; each comes with its class and its score."""
    masks = np.zeros((len(found), SIDE_PX, SIDE_PX), bool)
    for mask, (_, _, (x0, y0, x1, y1)) in zip(masks, found, strict=True):
        mask[y0:y1, x0:x1] = True
    return Detections(
        SIDE_PX,
        SIDE_PX,
        np.array([box for _, _, box in found], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in found], np.float32),
        np.array([index for index, _, _ in found], np.int64),
        encode_masks(masks) if found else (),
    )


def own_pictures(**values: Sequence[float]) -> Baseline:
    """Return the champion's own pictures with these values of their features."""
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return build_baseline([Observation(row) for row in rows], weights_digest="w1", data_fingerprint="f1")


def kept_sample(
    name: str,
    features: Mapping[str, float] | None = None,
    *,
    embedding: Sequence[float] | None = None,
    scores: Sequence[float] = (),
    classes: Mapping[str, int] | None = None,
) -> Sample:
    """Return a sample whose picture is kept and has the sample's name as its digest."""
    observation = Observation(features or {}, None if embedding is None else tuple(embedding))
    return replace(
        sample_of(name, observation),
        picture_digest=name,
        picture_file=f"pictures/{name}.png",
        top_scores=tuple(scores),
        class_counts=dict(classes or {}),
    )


def candidate(
    name: str,
    uncertainty: float = 0.5,
    *,
    drift: float = 1.0,
    need: float = 0.0,
    embedding: Sequence[float] | None = None,
) -> Candidate:
    """Return a candidate with these terms."""
    sample = kept_sample(name, embedding=embedding)
    return Candidate(sample, drift, Uncertainty(uncertainty), "nut" if need else "", need)
