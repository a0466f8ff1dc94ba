"""Estimates of quality held against labels of random pictures: which was right, by how much. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import IouTable
from maskloop.records.kinds import CheckedQuality, QualityEstimate
from maskloop.state.loop_state import LoopState
from monitoring.quality.estimator import CONFIDENCE
from monitoring.quality.labelled import measure_from_labels
from monitoring.samples.values import Sample


def check_estimates(
    table: IouTable,
    random: Mapping[str, Sample | None],
    others: Sequence[Sample],
    estimates: Mapping[str, QualityEstimate],
) -> tuple[CheckedQuality, ...]:
    """Return what labels of random pictures say about each class, beside what was estimated before.

    Args:
        table: Of the champion on labelled pictures.
        random: By picture digest, those of them that were drawn at random, each with the champion's answer in
            production. Where one has none, labels decide alone.
        others: The champion's answers to pictures without labels.
        estimates: Of mask IoU before, by class.
    """
    rows = [row for row, digest in enumerate(table.picture_ids) if digest in random]
    answers = [random[table.picture_ids[row]] for row in rows]
    known = [one for one in answers if one is not None]
    helped = others if len(known) == len(rows) else ()
    checked = []
    for index, name in enumerate(table.class_names if rows else ()):
        found = measure_from_labels(
            name,
            iou_sums_n=table.iou_sum[rows, index],
            num_instances_n=table.num_instances[rows, index],
            score_sums_n=_score_sums(known, name) if helped else np.zeros(len(rows)),
            counts_n=_counts(known, name) if helped else np.zeros(len(rows)),
            other_score_sums_N=_score_sums(helped, name),
            other_counts_N=_counts(helped, name),
            confidence=CONFIDENCE,
        )
        before = estimates.get(name)
        checked.append(
            CheckedQuality(
                class_name=name,
                value=found.value,
                low=found.low,
                high=found.high,
                num_labelled=found.num_labelled,
                refused_because=found.refused_because,
                estimate=before.value if before else None,
                estimate_low=before.low if before else None,
                estimate_high=before.high if before else None,
            )
        )
    return tuple(checked)


def find_estimates(state: LoopState, weights_digest: str) -> dict[str, QualityEstimate]:
    """Return the newest estimates of a model's mask IoU, by class; none if its last windows have none."""
    windows = [state.last_drift] if state.last_drift else []
    for _, judged in [*windows, *reversed(state.unanswered_drift)]:
        if judged.weights_digest == weights_digest and judged.estimates:
            return {one.class_name: one for one in judged.estimates if one.metric == "mask_iou"}
    return {}


def tell_checks(state: LoopState, weights_digest: str) -> tuple[str, ...]:
    """Say what the newest labels of random pictures said about a model, class by class."""
    records = [record for _, record in state.quality if record.weights_digest == weights_digest]
    newest = next((record for record in reversed(records) if record.checked), None)
    return tuple(one.sentence() for one in newest.checked) if newest else ()


def _counts(samples: Sequence[Sample], class_name: str) -> NDArray[np.float64]:
    return np.array([one.class_counts.get(class_name, 0) for one in samples], np.float64)


def _score_sums(samples: Sequence[Sample], class_name: str) -> NDArray[np.float64]:
    """Return about each sum of a class's scores: the log keeps means, earlier ones of all classes."""
    means = [one.features.get(f"score of {class_name}", one.features.get("mean_score")) for one in samples]
    sums: NDArray[np.float64] = _counts(samples, class_name) * np.array([mean or 0.0 for mean in means])
    return sums
