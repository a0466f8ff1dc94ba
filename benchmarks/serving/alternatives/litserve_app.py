"""LitServe: one worker process, batches gather for up to `WAIT_S`."""

from __future__ import annotations

import base64
import sys
from typing import Any

import litserve

from benchmarks.serving.alternatives.batching import MAX_BATCH, MODEL, WAIT_S
from benchmarks.serving.bare import answer, load


class Parts(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.predictor = load(MODEL)

    def decode_request(self, request: dict[str, str]) -> bytes:
        return base64.b64decode(request["picture"])

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        return list(inputs)

    def predict(self, pictures: list[bytes]) -> list[Any]:
        return answer(self.predictor, pictures)

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"instances": output}


if __name__ == "__main__":
    server = litserve.LitServer(Parts(max_batch_size=MAX_BATCH, batch_timeout=WAIT_S), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
