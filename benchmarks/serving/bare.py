"""The bare model: bytes to instances in one loop, in a process of its own, without any server.

`load` and `answer` are also what the other servers call, so that all do the same work.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from benchmarks.serving.plans import percentile

if TYPE_CHECKING:
    from models.answering.prediction import Prediction
    from models.answering.predictor import TorchPredictor

MAX_MPX = 25.0


def load(directory: Path) -> TorchPredictor:
    """Load and verify a model, and warm it as the service does."""
    import numpy as np

    from models.answering.predictor import TorchPredictor

    predictor = TorchPredictor.load(directory, device="cpu")
    for side_px in (128, 256):
        predictor.predict([np.zeros((side_px, side_px, 3), np.uint8)])
    return predictor


def answer(predictor: TorchPredictor, pictures: Sequence[bytes]) -> list[list[dict[str, Any]]]:
    """Return the instances of each picture as the service's JSON has them: decode, predict, RLE."""
    from dataset.pictures.decoding import decode_picture

    decoded = [decode_picture(picture, max_mpx=MAX_MPX) for picture in pictures]
    return [_describe(predictor, prediction) for prediction in predictor.predict(decoded)]


def _describe(predictor: TorchPredictor, prediction: Prediction) -> list[dict[str, Any]]:
    found = prediction.detections.select(prediction.detections.reach(predictor.score_threshold))
    return [
        {
            "class_name": predictor.class_names[index],
            "score": round(float(score), 4),
            "box_xyxy": [round(float(side), 2) for side in box],
            "mask": mask.to_coco(),
        }
        for index, score, box, mask in zip(
            found.class_indices.tolist(), found.scores, found.boxes_xyxy, found.masks, strict=True
        )
    ]


class BareModel:
    """A process that holds one model and answers a folder of pictures; use it as a context manager."""

    def __init__(self, directory: Path, pictures: Path, *, threads: int | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.serving.bare", str(directory), str(pictures)],
            cwd=Path(__file__).resolve().parents[2],
            env={**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ask({"do": "nothing"})

    def __enter__(self) -> BareModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait(30)

    def loop(self, *, batch: int, seconds: float, pause_s: float = 0.0) -> dict[str, Any]:
        """Answer the pictures again and again, after a pause each time.

        Returns ``per_second``, pauses included, and without them ``p50_ms`` and ``ms_by_picture``.
        """
        return dict(self._ask({"do": "loop", "batch": batch, "seconds": seconds, "pause_s": pause_s}))

    def answers(self, *, batch: int) -> list[list[dict[str, Any]]]:
        """Return the instances of every picture, computed in batches of that size."""
        return list(self._ask({"do": "answer", "batch": batch}))

    def _ask(self, wanted: dict[str, Any]) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(wanted) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def _loop(
    predictor: TorchPredictor, pictures: Sequence[bytes], *, batch: int, seconds: float, pause_s: float
) -> dict[str, Any]:
    took_ms: dict[int, list[float]] = defaultdict(list)
    start_s = now_s = time.perf_counter()
    first = count = 0
    while now_s - start_s < seconds:
        numbers = [number % len(pictures) for number in range(first, first + batch)]
        if pause_s:
            time.sleep(pause_s)
            now_s = time.perf_counter()
        json.dumps(answer(predictor, [pictures[number] for number in numbers]))
        before_s, now_s = now_s, time.perf_counter()
        took_ms[first % len(pictures)].append((now_s - before_s) * 1000)
        first, count = first + batch, count + batch
    return {
        "per_second": count / (now_s - start_s),
        "p50_ms": percentile([ms for each in took_ms.values() for ms in each], 50),
        "ms_by_picture": {number: percentile(each, 50) for number, each in took_ms.items()},
    }


def _answer_all(
    predictor: TorchPredictor, pictures: Sequence[bytes], batch: int
) -> list[list[dict[str, Any]]]:
    answers: list[list[dict[str, Any]]] = []
    for first in range(0, len(pictures), batch):
        answers += answer(predictor, pictures[first : first + batch])
    return answers


def main() -> None:
    """Do what each line of standard input asks for."""
    predictor = load(Path(sys.argv[1]))
    files = sorted(file for file in Path(sys.argv[2]).iterdir() if file.is_file())
    pictures = [file.read_bytes() for file in files]
    for line in sys.stdin:
        wanted = json.loads(line)
        match wanted["do"]:
            case "loop":
                how = {name: wanted[name] for name in ("batch", "seconds", "pause_s")}
                told: Any = _loop(predictor, pictures, **how)
            case "answer":
                told = _answer_all(predictor, pictures, wanted["batch"])
            case _:
                told = None
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
