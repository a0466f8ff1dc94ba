"""A workspace whose champion sees numbers in pictures, pictures with numbers, and workers in this process."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from dataset.pictures.decoding import encode_png
from dataset.raw.conversion import DEFAULT_CONVERSION
from flows.workers.port import Outcome, Work, describe_reason
from models.answering.prediction import Prediction
from tests.fakes.loop_stories import first_champion
from tests.fakes.loop_world import World
from tests.fakes.model_ports import CLASS_NAMES, FakeMachine, FakePredictors
from tests.fakes.tiled_scenes import find_numbers


class NumberPredictor:
    """Sees each number above 0 as one object: a bolt if it is even, a nut if it is odd."""

    class_names, score_threshold, weights_digest = CLASS_NAMES, 0.5, ""
    conversion = DEFAULT_CONVERSION

    def predict(self, pictures: Sequence[np.ndarray], *, min_score: float | None = None) -> list[Prediction]:
        found = [find_numbers(pixels) for pixels in pictures]
        return [
            Prediction(one.select(one.scores >= (min_score or 0.0)), np.zeros(4, np.float32), 0.01)
            for one in found
        ]


class NumberPredictors(FakePredictors):
    """Loads such a model from any folder that holds one."""

    def load(self, directory: Path, *, expected_digest: str | None = None, device: str = "auto") -> Any:
        self.verify(directory, expected_digest=expected_digest)
        return NumberPredictor()


def open_number_models() -> tuple[Any, Any]:
    """Open the ports of models in any process."""
    return NumberPredictors(), FakeMachine()


def make_batch_world(root: Path, settings: str = "") -> World:
    """Make a workspace with a champion that sees numbers."""
    world = World(root, settings=settings)
    world.label(range(12))
    world.open_models = open_number_models
    crown(world)
    return world


def crown(world: World) -> None:
    """Let a further version become the champion; it is trained on other pictures, and sees numbers then."""
    world.predictors = FakePredictors()
    first_champion(world)
    world.predictors = NumberPredictors()


def draw_numbers(*numbers: int, height_px: int = 20, gap_px: int = 4) -> np.ndarray:
    """Draw a square of 12 px for each number, side by side, (H, W, 3)."""
    pixels = np.zeros((height_px, len(numbers) * (12 + gap_px) + gap_px, 3), np.uint8)
    for place, number in enumerate(numbers):
        left = gap_px + place * (12 + gap_px)
        pixels[4:16, left : left + 12] = number
    return pixels


def write_numbers(file: Path, *numbers: int) -> Path:
    """Write such a picture as PNG."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(encode_png(draw_numbers(*numbers)))
    return file


@dataclass
class InlineWorkers:
    """Workers that are this process: `flows.workers.port.Workers`.

    Attributes:
        work: What they do.
        count: How many there are.
        before: Called with each task before it is done; what it raises costs the task.
    """

    work: Work
    count: int
    before: Callable[[bytes], None] = lambda _task: None
    tasks: deque[tuple[int, bytes]] = field(default_factory=deque)
    answer: Callable[[bytes], bytes] | None = None
    stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> InlineWorkers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tasks.clear()
        self.stack.close()

    def submit(self, number: int, task: bytes) -> None:
        assert len(self.tasks) < self.count, "every worker has a task"
        self.tasks.append((number, task))

    def wait(self, timeout_s: float) -> Outcome | None:
        if not self.tasks:
            return None
        if self.answer is None:
            self.answer = self.stack.enter_context(self.work.begin())
        number, task = self.tasks.popleft()
        try:
            self.before(task)
            return Outcome(number, self.answer(task))
        except Exception as error:  # noqa: BLE001 - costs the task
            return Outcome(number, None, describe_reason(error))


def read_instances(file: Path) -> dict[str, list[tuple[int, int]]]:
    """Return class and area of every instance of a COCO file, by picture."""
    told = json.loads(file.read_text())
    names = {image["id"]: image["file_name"] for image in told["images"]}
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in names.values()}
    for one in told["annotations"]:
        found[names[one["image_id"]]].append((one["category_id"], one["area"]))
    return {name: sorted(rows) for name, rows in found.items()}
