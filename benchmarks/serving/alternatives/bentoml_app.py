"""BentoML: one worker, adaptive batches."""

from __future__ import annotations

import base64
from typing import Any

import bentoml

from benchmarks.serving.alternatives.batching import MAX_BATCH, MODEL
from benchmarks.serving.bare import answer, load


@bentoml.service
class Parts:
    def __init__(self) -> None:
        self.predictor = load(MODEL)

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH)
    def predict(self, pictures: list[str]) -> list[list[dict[str, Any]]]:
        return answer(self.predictor, [base64.b64decode(picture) for picture in pictures])
