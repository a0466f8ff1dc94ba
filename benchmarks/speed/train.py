"""One training step: torchvision's model in its reference loop, and maskloop's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from benchmarks.speed.profile import profile_once
from benchmarks.speed.report import Line, Report, lines_of, memory_of
from benchmarks.speed.stock import NUM_CLASSES, adopt_statistics, draw_picture, to_float
from benchmarks.timing import take_turns
from maskloop.model_settings import ModelSettings
from models.batches import Batch
from models.build import build_model, build_stock_model
from models.crops import MaskCrop
from models.determinism import threads_for
from models.environment import describe_environment
from models.mask_targets import make_target

STOCK, OURS = "torchvision", "maskloop"
_LEARNING_RATE = 1e-4
_QUESTION = (
    "One step, from a batch in the host's memory to new weights, with SGD: the same network and weights in "
    "torchvision's reference loop (float pictures, dense masks) and in maskloop's (uint8 pictures, cropped "
    "masks)."
)


@dataclass(frozen=True)
class Case:
    """What is trained on.

    Attributes:
        name: In the report.
        settings: Of the network.
        batch: Pictures in a step.
        height_px: Of each picture.
        width_px: Of each picture.
        instances: In each picture.
        side_px: Of the smallest and the largest instance.
    """

    name: str
    settings: ModelSettings
    batch: int
    height_px: int
    width_px: int
    instances: int
    side_px: tuple[int, int]


def _small() -> ModelSettings:
    """The demo's network, as `configs/demo.toml` has it."""
    return ModelSettings(
        backbone="small", weights="scratch", norm="batch", min_size_px=128, max_size_px=256,
        anchor_sizes_px=((36,), (52,)), fpn_channels=64, box_head_width=256, mask_head_layers=(64, 64),
        mask_head_width=32, roi_sampling_ratio=1, train_proposals_before_nms=300, train_proposals=200,
        rois_per_picture=64, anchors_per_picture=64,
    )  # fmt: skip


def cases(*, quick: bool) -> list[Case]:
    """Return the demo's network, and ResNet-50 FPN with few and with many instances."""
    small = Case("small, 4 x 128 x 128 px, 5 instances", _small(), 4, 128, 128, 5, (32, 62))
    height, width = (192, 320) if quick else (800, 1344)
    # Frozen as a pretrained one would be: stem and first stage are not trained, nor any norm.
    large = ModelSettings(backbone="resnet50", weights="imagenet", min_size_px=height, max_size_px=width)
    return [
        small,
        *(
            Case(
                f"resnet50, 2 x {height} x {width} px, {count} instances",
                large, 2, height, width, count, (height // 25, height // 3),
            )
            for count in (7, 50)
        ),
    ]  # fmt: skip


def measure_train(
    device: torch.device, *, quick: bool, budget_s: float, precision: str = "fp32", profiled: bool = False
) -> Report:
    """Time both in each case. ``bf16`` lets both compute in bfloat16 where torch's autocast does."""
    lines: list[Line] = []
    remarks: dict[str, object] = {"precision": precision, "device": str(device)}
    for case in cases(quick=quick):
        contestants = make_contestants(case, device, precision)
        with threads_for(case.settings.backbone):  # as `models.train` has it; for both
            remarks[f"losses, {case.name}"] = {name: f"{run():.4g}" for name, run in contestants.items()}
            rounds = take_turns(
                contestants,
                rounds=3 if quick else 7,
                budget_s=budget_s,
                finish=torch.cuda.synchronize if device.type == "cuda" else lambda: None,
            )
            memory = peak_bytes(contestants, device)
        lines += lines_of(case.name, rounds, reference=STOCK, memory=memory)
        if profiled:
            remarks |= {f"{name}, {case.name}": str(profile_once(run)) for name, run in contestants.items()}
    return Report("train", _QUESTION, describe_environment(), tuple(lines), remarks)


def peak_bytes(contestants: dict[str, Callable[[], object]], device: torch.device) -> dict[str, int | None]:
    """Return the most memory a step takes on top of what was there: the process's, or the GPU's tensors'."""
    if device.type != "cuda":
        return memory_of(contestants)
    peaks: dict[str, int | None] = {}
    for name, run in contestants.items():
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize()
        peaks[name] = torch.cuda.max_memory_allocated(device) - before
    return peaks


def make_contestants(case: Case, device: torch.device, precision: str) -> dict[str, Callable[[], Any]]:
    """Return a step of each, which gives the loss back. Both start from the same weights."""
    torch.manual_seed(0)
    stock = build_stock_model(case.settings, num_classes=NUM_CLASSES)
    batch = draw_batch(case)
    with torch.no_grad():
        adopt_statistics(stock, batch.images[0].permute(1, 2, 0).numpy())
    ours = build_model(case.settings, num_classes=NUM_CLASSES, pretrained=False)
    ours.load_state_dict(stock.state_dict())
    ours = ours.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    images, targets = to_stock(batch)
    step_stock = _Step(stock.to(device), device, precision)
    step_ours = _Step(ours, device, precision)

    def run_stock() -> float:
        moved = [{name: tensor.to(device) for name, tensor in target.items()} for target in targets]
        return step_stock([image.to(device) for image in images], moved)

    def run_ours() -> float:
        moved = batch.to(device)
        return step_ours(moved.images, moved.targets)

    return {STOCK: run_stock, OURS: run_ours}


class _Step:
    """What torchvision's ``references/detection/engine.py`` does with a batch on its device."""

    def __init__(self, model: MaskRCNN, device: torch.device, precision: str) -> None:
        self.model, self.device, self.precision = model.train(), device, precision
        trained = [each for each in model.parameters() if each.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=_LEARNING_RATE, momentum=0.9, weight_decay=1e-4)

    def __call__(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> float:
        is_bf16 = self.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=is_bf16):
            loss = torch.stack([*self.model(images, targets).values()]).sum()
        value = loss.item()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return value


def draw_batch(case: Case) -> Batch:
    """Return pictures of coloured patches with ellipses annotated in them."""
    images, targets = [], []
    for picture in range(case.batch):
        random = np.random.default_rng(picture)
        crops = [_draw_ellipse(case, random) for _ in range(case.instances)]
        pixels = torch.from_numpy(draw_picture(case.height_px, case.width_px, seed=picture))
        labels = random.integers(1, NUM_CLASSES + 1, case.instances)
        images.append(pixels.permute(2, 0, 1))
        targets.append(make_target(crops, labels, height_px=case.height_px, width_px=case.width_px))
    return Batch(images, targets, tuple(str(picture) for picture in range(case.batch)))


def _draw_ellipse(case: Case, random: np.random.Generator) -> MaskCrop:
    smallest, largest = case.side_px
    height, width = (int(side) for side in smallest * (largest / smallest) ** random.random(2))
    y, x = np.mgrid[:height, :width] + 0.5
    pixels = (2.0 * y / height - 1.0) ** 2 + (2.0 * x / width - 1.0) ** 2 <= 1.0
    left, top = random.integers(0, case.width_px - width), random.integers(0, case.height_px - height)
    return MaskCrop(int(left), int(top), pixels)


def to_stock(batch: Batch) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Return the batch as torchvision's loader brings it: float pictures, and a dense mask per instance."""
    images = [to_float(image.permute(1, 2, 0).numpy()) for image in batch.images]
    targets = []
    for target in batch.targets:
        height, width = target["size_px"].tolist()
        masks = torch.zeros(len(target["labels"]), height, width, dtype=torch.uint8)
        first = 0
        for mask, (left, top, right, bottom) in zip(masks, target["crop_boxes"].tolist(), strict=True):
            last = first + (right - left) * (bottom - top)
            mask[top:bottom, left:right] = target["crop_pixels"][first:last].view(bottom - top, right - left)
            first = last
        targets.append({"boxes": target["boxes"], "labels": target["labels"], "masks": masks})
    return images, targets
