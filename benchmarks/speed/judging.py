"""Whole short trainings: never evaluated, evaluated between their steps, and beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.provenance import describe_run
from benchmarks.speed.report import Line, Report, lines_of
from benchmarks.speed.train import small_network
from benchmarks.timing import Spread, take_turns
from dataset.labelled_pictures import DatasetVersion, LabelledInstance, LabelledPicture, Split
from dataset.synthetic.parts import CLASS_NAMES
from dataset.synthetic.scene import photograph_scene
from maskloop.digest import digest_bytes
from maskloop.masks import encode_masks
from maskloop.settings.model_settings import ModelSettings, TrainingSettings
from maskloop.settings.workspace_settings import Settings
from models.loading.request import TrainingRequest
from models.training.training_loop import TrainingResult, train

NEVER, BETWEEN, BESIDE = "never evaluated", "evaluated between steps", "evaluated beside steps"
_FOLDER: Final = Path("drawn")
_AS_THE_DEMO_PREDICTS: Final = {
    "test_proposals_before_nms": 200, "test_proposals": 100, "max_detections": 50
}  # fmt: skip
_QUESTION = (
    "A whole short training by `models.training`, evaluated more often than usual, with checkpoints: "
    "with its evaluations between the steps, and beside them (`training.evaluate_beside`). Never evaluated "
    "tells how much there is to win at most."
)


@dataclass(frozen=True)
class Case:
    """What is trained, and how often it is evaluated.

    Attributes:
        name: In the report.
        settings: Of the network, for square pictures of ``min_size_px``.
        batch: Pictures in a step.
        steps: Of a run; evaluated at each quarter.
        num_val: Pictures of an evaluation.
    """

    name: str
    settings: ModelSettings
    batch: int
    steps: int
    num_val: int


def cases(device: torch.device, *, quick: bool) -> list[Case]:
    """Return the demo's network and, on a GPU, ResNet-50 FPN, which takes a CPU many minutes for a run."""
    steps, num_val = (16, 32) if quick else (40, 90)
    small = Case(
        f"small, 4 x 128 x 128 px, {steps} steps, {num_val} pictures evaluated every {steps // 4}",
        small_network().model_copy(update=_AS_THE_DEMO_PREDICTS), 4, steps, num_val,
    )  # fmt: skip
    if device.type == "cpu":
        return [small]
    side, steps, num_val = (320, 16, 32) if quick else (800, 80, 64)
    large = ModelSettings(
        backbone="resnet50", weights="scratch", norm="batch", min_size_px=side, max_size_px=side
    )
    name = f"resnet50, 4 x {side} x {side} px, {steps} steps, {num_val} pictures evaluated every {steps // 4}"
    return [small, Case(name, large, 4, steps, num_val)]


def measure_judging(device: torch.device, *, quick: bool, budget_s: float) -> Report:
    """Time whole runs in turns; tell what evaluations cost, and whether both ways said the same."""
    lines: list[Line] = []
    remarks: dict[str, object] = {"device": str(device)}
    for case in cases(device, quick=quick):
        results: dict[str, TrainingResult] = {}
        contestants = make_contestants(case, device, results)
        rounds = take_turns(contestants, rounds=3 if quick else 9, budget_s=budget_s)
        lines += lines_of(case.name, rounds, reference=BETWEEN)
        shares = Spread.of(
            [
                100.0 * (1.0 - never / between)
                for never, between in zip(rounds.wall_s[NEVER], rounds.wall_s[BETWEEN], strict=True)
            ]
        )
        remarks[f"evaluations between steps take of a run, %, {case.name}"] = f"{shares.median:.1f}"
        remarks[f"both ways said the same, {case.name}"] = results[BETWEEN].history == results[BESIDE].history
    return Report("judging", _QUESTION, describe_run(), tuple(lines), remarks)


def make_contestants(
    case: Case, device: torch.device, results: dict[str, TrainingResult]
) -> Mapping[str, Callable[[], None]]:
    """Return a whole run for each, which leaves its newest result in ``results``."""
    version, pixels = draw_version(case)
    unjudged = replace(version, pictures=version.by_split["train"])

    def run(name: str, dataset: DatasetVersion, *, beside: bool) -> None:
        training = TrainingSettings(
            steps=case.steps,
            batch_size=case.batch,
            warmup_steps=4,
            evaluate_every_steps=case.steps // 4,
            evaluate_beside=beside,
            checkpoint_every_steps=case.steps // 2,
        )
        with TemporaryDirectory() as folder:
            request = TrainingRequest(
                dataset=dataset,
                settings=Settings(model=case.settings, training=training),
                checkpoint_dir=Path(folder),
                steps=case.steps,
                learning_rate=training.learning_rate,
                device=str(device),
            )
            results[name] = train(request, load_picture=lambda path: pixels[path.name])

    return {
        NEVER: lambda: run(NEVER, unjudged, beside=False),
        BETWEEN: lambda: run(BETWEEN, version, beside=False),
        BESIDE: lambda: run(BESIDE, version, beside=True),
    }


def draw_version(case: Case) -> tuple[DatasetVersion, dict[str, NDArray[np.uint8]]]:
    """Return a data version of scenes of the demo, and their pixels by file name."""
    pixels: dict[str, NDArray[np.uint8]] = {}
    pictures = []
    for index in range(4 * case.batch + case.num_val):
        scene = photograph_scene(0, index, side_px=case.settings.min_size_px, shift=None)
        file = f"{index}.png"
        pixels[file] = scene.pixels
        masks = zip(scene.class_indices, encode_masks(scene.masks), strict=True)
        split: Split = "train" if index < 4 * case.batch else "val"
        instances = tuple(LabelledInstance(class_index, mask) for class_index, mask in masks)
        pictures.append(_describe(file, scene.pixels, instances, split))
    return DatasetVersion("data-v1", "0" * 64, "", "", CLASS_NAMES, tuple(pictures), _FOLDER), pixels


def _describe(
    file: str, pixels: NDArray[np.uint8], instances: tuple[LabelledInstance, ...], split: Split
) -> LabelledPicture:
    return LabelledPicture(
        digest=digest_bytes(pixels.tobytes()),
        file=file,
        name=file,
        width_px=pixels.shape[1],
        height_px=pixels.shape[0],
        source="drawn",
        group=file,
        split=split,
        added_in="data-v1",
        label_origin="human",
        instances=instances,
    )
