"""One training step: torchvision's model in its reference loop, and maskloop's."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from benchmarks.provenance import describe_run
from benchmarks.speed.profile import profile_once
from benchmarks.speed.report import Line, Report, lines_of, memory_of
from benchmarks.speed.stock import NUM_CLASSES, adopt_statistics, draw_picture
from benchmarks.timing import take_turns
from maskloop.settings.model_settings import FastPart, ModelSettings
from models.devices import uses_bf16
from models.loading.batches import TrainingBatch
from models.network.build import build_model, build_stock_model
from models.network.fast_parts import ALL_FAST_PARTS, feed
from models.operations.crops import MaskCrop
from models.operations.mask_targets import make_target
from models.training.determinism import threads_for

STOCK, STOCK_BF16, STOCK_COMPILED = "torchvision", "torchvision, bf16", "torchvision, compiled"
OURS, OURS_FP32 = "maskloop", "maskloop, fp32"
_LEARNING_RATE = 1e-4
_QUESTION = (
    "One step, from a batch in the host's memory to new weights, with SGD: the same network and weights in "
    "torchvision's reference loop (float pictures, dense masks, fp32 unless asked) and in maskloop's (uint8 "
    "pictures, cropped masks, bf16 where the device computes it)."
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


def small_network() -> ModelSettings:
    """The demo's network as it was first measured; unchanged, so that figures stay comparable."""
    return ModelSettings(
        backbone="small", weights="scratch", norm="batch", min_size_px=128, max_size_px=256,
        anchor_sizes_px=((36,), (52,)), fpn_channels=64, box_head_width=256, mask_head_layers=(64, 64),
        mask_head_width=32, roi_sampling_ratio=1, train_proposals_before_nms=300, train_proposals=200,
        rois_per_picture=64, anchors_per_picture=64,
    )  # fmt: skip


def cases(*, quick: bool) -> list[Case]:
    """Return the demo's network, and ResNet-50 FPN with few and with many instances."""
    small = Case("small, 4 x 128 x 128 px, 5 instances", small_network(), 4, 128, 128, 5, (32, 62))
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
    device: torch.device, *, quick: bool, budget_s: float, each_part: bool = False, profiled: bool = False
) -> Report:
    """Time all in each case; with ``each_part`` also ours without each of its fast parts."""
    lines: list[Line] = []
    remarks: dict[str, object] = {"device": str(device)}
    for case in cases(quick=quick):
        contestants = make_contestants(case, device, each_part=each_part)
        with threads_for(case.settings.backbone):  # as `models.training.training_loop` has it; for all
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
    return Report("train", _QUESTION, describe_run(), tuple(lines), remarks)


def peak_bytes(
    contestants: Mapping[str, Callable[[], object]], device: torch.device
) -> dict[str, int | None]:
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


def make_contestants(
    case: Case, device: torch.device, *, each_part: bool = False
) -> dict[str, Callable[[], float]]:
    """Return a step of each, which gives the loss back. All start from the same weights.

    Ours computes as ``training.precision = "auto"`` has it; where that is bfloat16, torchvision's with
    autocast and ours without are told too. On a GPU torchvision's is also compiled.
    """
    torch.manual_seed(0)
    stock = build_stock_model(case.settings, num_classes=NUM_CLASSES)
    batch = draw_batch(case)
    with torch.no_grad():
        adopt_statistics(stock, batch.images[0].permute(1, 2, 0).numpy())
    weights = stock.state_dict()
    stock = stock.to(device)
    given = feed(batch, ())

    def run_stock(*, bf16: bool, compiled: bool = False) -> Callable[[], float]:
        step = _Step(copy.deepcopy(stock), device, bf16=bf16, compiled=compiled)

        def run() -> float:
            moved = given.to(device)
            return step(moved.images, moved.targets)

        return run

    def run_ours(*, bf16: bool, parts: Collection[FastPart] = ALL_FAST_PARTS) -> Callable[[], float]:
        ours = build_model(case.settings, num_classes=NUM_CLASSES, pretrained=False, fast_parts=parts)
        ours.load_state_dict(weights)
        ours = ours.to(device, memory_format=torch.channels_last)
        step = _Step(ours, device, bf16=bf16)

        def run() -> float:
            moved = feed(batch.to(device), parts)
            return step(moved.images, moved.targets)

        return run

    bf16 = uses_bf16("auto", device)
    contestants = {STOCK: run_stock(bf16=False), OURS: run_ours(bf16=bf16)}
    if bf16:
        contestants |= {STOCK_BF16: run_stock(bf16=True), OURS_FP32: run_ours(bf16=False)}
    for part in ALL_FAST_PARTS if each_part else ():
        others = {*ALL_FAST_PARTS} - {part}
        contestants[f"{OURS} without {part}"] = run_ours(bf16=bf16, parts=others)
    if device.type == "cuda":
        contestants[STOCK_COMPILED] = run_stock(bf16=bf16, compiled=True)
    return contestants


class _Step:
    """What torchvision's ``references/detection/engine.py`` does with a batch on its device."""

    def __init__(self, model: MaskRCNN, device: torch.device, *, bf16: bool, compiled: bool = False) -> None:
        self.model = torch.compile(model.train()) if compiled else model.train()
        self.device, self.bf16 = device, bf16
        trained = [each for each in model.parameters() if each.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=_LEARNING_RATE, momentum=0.9, weight_decay=1e-4)

    def __call__(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> float:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            loss = torch.stack([*self.model(images, targets).values()]).sum()
        value = loss.item()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return value


def draw_batch(case: Case) -> TrainingBatch:
    """Return pictures of coloured patches with ellipses annotated in them."""
    images, targets = [], []
    for picture in range(case.batch):
        random = np.random.default_rng(picture)
        crops = [_draw_ellipse(case, random) for _ in range(case.instances)]
        pixels = torch.from_numpy(draw_picture(case.height_px, case.width_px, seed=picture))
        labels = random.integers(1, NUM_CLASSES + 1, case.instances)
        images.append(pixels.permute(2, 0, 1))
        targets.append(make_target(crops, labels, height_px=case.height_px, width_px=case.width_px))
    return TrainingBatch(images, targets, tuple(str(picture) for picture in range(case.batch)))


def _draw_ellipse(case: Case, random: np.random.Generator) -> MaskCrop:
    smallest, largest = case.side_px
    height, width = (int(side) for side in smallest * (largest / smallest) ** random.random(2))
    y, x = np.mgrid[:height, :width] + 0.5
    pixels = (2.0 * y / height - 1.0) ** 2 + (2.0 * x / width - 1.0) ** 2 <= 1.0
    left, top = random.integers(0, case.width_px - width), random.integers(0, case.height_px - height)
    return MaskCrop(int(left), int(top), pixels)
