"""mosec: one worker process behind a server in Rust."""

from __future__ import annotations

from typing import Any

from mosec import Server, Worker

from benchmarks.serving.alternatives.batching import MAX_BATCH, MODEL, WAIT_S
from benchmarks.serving.bare import answer, load


class Parts(Worker):
    def __init__(self) -> None:
        self.predictor = load(MODEL)

    def deserialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: list[bytes]) -> list[dict[str, Any]]:
        return [{"instances": instances} for instances in answer(self.predictor, data)]


if __name__ == "__main__":
    server = Server()
    server.append_worker(Parts, num=1, max_batch_size=MAX_BATCH, max_wait_time=int(WAIT_S * 1000))
    server.run()
