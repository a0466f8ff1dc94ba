"""Made-up answers with several classes, whose masks have a known distribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from monitoring.features.observation import Observation

WHOLE = ("brightness", "contrast", "red_green", "yellow_blue", "saturation", "sharpness", "entropy", "noise")
ANSWER = ("mean_score", "max_score", "low_score_share", "mean_relative_area", "mean_fill", "mean_aspect")
MASKS = ("score", "area", "fill", "complexity", "fragments", "holes", "overlap", "border share")


def draw_answers(
    rng: np.random.Generator,
    num: int,
    mean_counts: Mapping[str, float],
    *,
    shifts: Mapping[str, float] | None = None,
    correlation: float = 0.0,
    mix_effect: float = 0.0,
    without: Sequence[str] = (),
) -> list[Observation]:
    """Draw pictures: normal features of the whole and of each class's masks, Poisson counts.

    Args:
        rng: Draws.
        num: How many.
        mean_counts: Instances in a picture, by class.
        shifts: In standard deviations, by the name of a feature.
        correlation: Between all normal features of a picture.
        mix_effect: By so much the features of the whole rise with the share of the first class.
        without: Starts of names of features that are left out.
    """
    moved, names, left_out = shifts or {}, tuple(mean_counts), tuple(without)
    counts = rng.poisson(list(mean_counts.values()), (num, len(names))).astype(float)
    drawn = []
    for row in counts:
        common = np.sqrt(correlation) * rng.normal()
        share = row[0] / row.sum() if row.sum() else 0.5
        features: dict[str, float] = {"count": float(row.sum())}
        wanted = [*WHOLE, *(ANSWER if row.sum() else ())]
        wanted += [
            f"{mask} of {name}" for name, found in zip(names, row, strict=True) if found for mask in MASKS
        ]
        for feature in wanted:
            value = common + np.sqrt(1.0 - correlation) * rng.normal() + moved.get(feature, 0.0)
            features[feature] = float(value + (mix_effect * share if " of " not in feature else 0.0))
        features |= {f"count of {name}": float(found) for name, found in zip(names, row, strict=True)}
        kept = {name: value for name, value in features.items() if not name.startswith(left_out)}
        drawn.append(Observation(kept if left_out else features))
    return drawn
