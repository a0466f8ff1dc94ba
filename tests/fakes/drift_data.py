"""Made-up features with a known distribution, as baseline and as window."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections
from monitoring.drift.baseline import Baseline, build_baseline
from monitoring.features.observation import Observation
from monitoring.samples.sample_log import Sample
from monitoring.samples.windows import Window

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONTINUOUS = (
    *("brightness", "contrast", "red_green", "yellow_blue", "saturation", "sharpness", "entropy", "noise"),
    *("mean_score", "max_score", "mean_fill", "mean_aspect"),
)
"""As a baseline may hold them. More features in the table change none of these draws."""
COUNTS = ("count", "count of bolt", "count of nut")


def draw(
    rng: np.random.Generator,
    num: int,
    *,
    shift_sd: float = 0.0,
    correlation: float = 0.0,
    embedded: bool = True,
) -> list[Observation]:
    """Draw observations: normal features and embeddings, Poisson counts; all move by ``shift_sd``."""
    common = np.sqrt(correlation) * rng.normal(size=(num, 1))
    continuous = common + np.sqrt(1 - correlation) * rng.normal(size=(num, len(CONTINUOUS))) + shift_sd
    counts = 1.0 + rng.poisson(3.0 + shift_sd * np.sqrt(3.0), size=(num, len(COUNTS)))
    embeddings = rng.normal(size=(num, 8)) + common + shift_sd
    return [
        Observation(
            dict(zip((*CONTINUOUS, *COUNTS), row.tolist(), strict=True)),
            tuple(embedding) if embedded else None,
        )
        for row, embedding in zip(np.hstack([continuous, counts]), embeddings.tolist(), strict=True)
    ]


def baseline_of(observations: Sequence[Observation], weights_digest: str = "w1") -> Baseline:
    return build_baseline(observations, weights_digest=weights_digest, data_fingerprint="f1")


def window_of(observations: Sequence[Observation], weights_digest: str = "w1") -> Window:
    samples = tuple(
        sample_of(f"s{index}", observation, weights_digest) for index, observation in enumerate(observations)
    )
    return Window(weights_digest, samples)


def sample_of(name: str, observation: Observation | None = None, weights_digest: str = "w1") -> Sample:
    observation = observation or Observation({})
    return Sample(
        sample_id=name,
        received_at=NOON,
        model_version="3",
        weights_digest=weights_digest,
        picture_digest="d",
        source="camera 1",
        features=observation.features,
        embedding=observation.embedding,
        difference_hash=observation.difference_hash,
    )


def painted(red: int, green: int, blue: int, side_px: int = 20) -> NDArray[np.uint8]:
    """Return a picture of one colour, uint8 (side, side, 3)."""
    return np.full((side_px, side_px, 3), (red, green, blue), dtype=np.uint8)


def no_detections() -> Detections:
    """Return an answer in which nothing was found, whatever the size of the picture."""
    nothing = np.zeros(0, dtype=np.float32)
    return Detections(20, 20, nothing.reshape(0, 4), nothing, nothing.astype(np.int64), ())


def noise_picture(
    rng: np.random.Generator, *, mean: float, sd: float, side_px: int = 96
) -> NDArray[np.uint8]:
    """Return a grey picture of independent normal noise, uint8 (side, side, 3)."""
    grey = np.clip(np.rint(rng.normal(mean, sd, size=(side_px, side_px, 1))), 0, 255)
    return np.repeat(grey.astype(np.uint8), 3, axis=2)
