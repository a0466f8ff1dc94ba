"""Ray Serve: one replica with all processors (with one it would run torch on one thread)."""

from __future__ import annotations

import os
import sys
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from benchmarks.serving.alternatives.batching import MAX_BATCH, MODEL, WAIT_S
from benchmarks.serving.bare import answer, load


class Parts:
    def __init__(self) -> None:
        self.predictor = load(MODEL)

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=WAIT_S)
    async def answer_batch(self, pictures: list[bytes]) -> list[Any]:
        return answer(self.predictor, pictures)

    async def __call__(self, request: Request) -> dict[str, Any]:
        return {"instances": await self.answer_batch(await request.body())}


if __name__ == "__main__":
    ray.init(include_dashboard=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    deployed = serve.deployment(
        Parts, ray_actor_options={"num_cpus": os.cpu_count()}, max_ongoing_requests=100
    )
    serve.run(deployed.bind(), blocking=True)
