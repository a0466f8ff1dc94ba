"""One measured picture."""

from __future__ import annotations

import numpy as np

from monitoring.features.observation import Observation
from monitoring.features.table import observe
from tests.fakes.drift_data import no_detections, painted


def test_what_is_not_finite_becomes_missing() -> None:
    observation = Observation({"a": float("nan"), "b": float("inf"), "c": 1.0}, (0.1, float("nan")))
    assert observation.features == {"a": None, "b": None, "c": 1.0}
    assert observation.embedding is None


def test_an_observation_holds_the_embedding_as_float32_values() -> None:
    embedding = np.array([0.1, 2.0], dtype=np.float32)
    observation = observe(painted(1, 2, 3), no_detections(), ["bolt"], embedding)
    assert observation.embedding == (float(np.float32(0.1)), 2.0)
