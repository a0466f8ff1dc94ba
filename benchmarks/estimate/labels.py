"""Once labels of random pictures come: how wide is the interval with and without the answers to all
others?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from benchmarks.estimate.pictures import Answered
from evaluation.instances import ScoreThreshold
from evaluation.matching import match_picture
from monitoring.quality.labelled import measure_from_labels

NUM_LABELLED: Final = (10, 20, 40)
NUM_DRAWS: Final = 400
POPULATION: Final = 200
"""Pictures are drawn with replacement from the tested ones: so many make a window, of which some are
labelled."""
_CONFIDENCE: Final = 0.9
Row = Mapping[str, Any]


def measure_intervals(
    answered: Sequence[Answered], names: Sequence[str], threshold: ScoreThreshold
) -> list[Row]:
    """Return the coverage and width of intervals for each class and number of labelled pictures."""
    shape = len(answered), len(names)
    iou, num = np.zeros(shape), np.zeros(shape, np.int64)
    scores, counts = np.zeros(shape), np.zeros(shape)
    for row, one in enumerate(answered):
        found = one.views[0].select(one.views[0].reach(threshold))
        match = match_picture(found, one.truth, num_classes=len(names), score_threshold=0.0)
        iou[row] = np.bincount(one.truth.class_indices, match.truth_iou, minlength=len(names))
        num[row] = np.bincount(one.truth.class_indices, minlength=len(names))
        scores[row] = np.bincount(found.class_indices, found.scores, minlength=len(names))
        counts[row] = np.bincount(found.class_indices, minlength=len(names))
    rng = np.random.default_rng(0)
    rows: list[Row] = []
    for index, name in enumerate(names):
        if num[:, index].sum() < 30:
            continue
        truth = iou[:, index].sum() / num[:, index].sum()
        for num_labelled in NUM_LABELLED:
            found_in = []
            for _ in range(NUM_DRAWS):
                drawn = rng.integers(0, len(answered), POPULATION)
                ours, others = drawn[:num_labelled], drawn[num_labelled:]
                told = measure_from_labels(
                    name,
                    iou_sums_n=iou[ours, index],
                    num_instances_n=num[ours, index],
                    score_sums_n=scores[ours, index],
                    counts_n=counts[ours, index],
                    other_score_sums_N=scores[others, index],
                    other_counts_N=counts[others, index],
                    confidence=_CONFIDENCE,
                )
                if told.low is not None and told.high is not None:
                    is_right = told.low <= truth <= told.high
                    found_in.append((is_right, told.high - told.low, told.width_of_labels_alone))
            if found_in:
                covered, width, alone = np.mean(np.array(found_in, float), axis=0).tolist()
                rows.append(
                    {
                        **{"class": name, "labelled": num_labelled, "covered": covered},
                        **{"width": width, "alone": alone, "answered": len(found_in) / NUM_DRAWS},
                    }
                )
    return rows


def to_interval_table(known: Mapping[str, Sequence[Row]]) -> str:
    """Return a table: a line for each data set and number of labelled pictures, means over its classes."""
    head = "| data | labelled pictures | interval holds the truth | width | labels alone |"
    lines = [head, "| --- " * 5 + "|"]
    for title, rows in known.items():
        for num in NUM_LABELLED:
            own = [row for row in rows if row["labelled"] == num]
            if own:
                keys = ("covered", "width", "alone")
                mean = {key: float(np.mean([row[key] for row in own])) for key in keys}
                lines.append(
                    f"| {title} | {num} | {mean['covered']:.0%} | {mean['width']:.3f} | {mean['alone']:.3f} |"
                )
    return "\n".join(lines)
