"""Prediction: torchvision's model with its masks encoded, and `models.answering.predictor.TorchPredictor`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.ops import box_iou

from benchmarks.provenance import describe_run
from benchmarks.speed.profile import profile_once
from benchmarks.speed.report import Line, Report, lines_of, memory_of
from benchmarks.speed.stock import (
    NUM_CLASSES,
    draw_picture,
    let_find,
    make_stock_model,
    run_stock,
    to_rles,
)
from benchmarks.timing import take_turns
from evaluation.instances import Detections
from maskloop.settings.model_settings import ModelSettings
from models.answering.predictor import TorchPredictor
from models.devices import computes_bf16
from models.network.build import build_model

STOCK, STOCK_ENCODED = "torchvision, float masks", "torchvision, masks encoded"
OURS, OURS_BF16 = "maskloop", "maskloop, bf16"
_QUESTION = (
    "Pictures (uint8) to boxes, classes, scores and masks: the same ResNet-50 FPN weights in torchvision's "
    "`model.eval()` with its `paste_masks_in_image`, and in maskloop's `TorchPredictor`; with bfloat16, "
    "where the device computes it, other instances of random weights pass the threshold."
)


def measure_predict(
    device: torch.device,
    *,
    quick: bool,
    batches: Sequence[int],
    min_size_px: int,
    budget_s: float,
    profiled: bool = False,
) -> Report:
    """Time all contestants at each batch size with 0, 10 and 100 instances in each picture."""
    settings = ModelSettings(
        backbone="resnet50", weights="scratch", min_size_px=min_size_px, max_size_px=min_size_px * 5 // 3
    )
    pictures = [draw_picture(480, 640, seed=0)] * max(batches)
    stock = make_stock_model(settings, pictures[0]).to(device)
    ours = _with_the_weights_of(stock, settings)
    lines: list[Line] = []
    remarks: dict[str, object] = {"pictures": f"640 x 480 px, shorter side resized to {min_size_px} px"}
    for batch in batches:
        for count in (0, 10, 100):
            case = f"batch {batch}, {count} instances"
            let_find(stock, count, pictures[0])
            predictor = _predictor_like(stock, ours, device)
            remarks[f"equal, {case}"] = compare(
                run_stock(stock, pictures[:1])[0], predictor.predict(pictures[:1])[0].detections
            )
            contestants = _contestants(stock, predictor, pictures[:batch])
            if computes_bf16(device):
                coarse = _predictor_like(stock, ours, device, precision="bf16")
                contestants[OURS_BF16] = partial(coarse.predict, pictures[:batch])
            rounds = take_turns(
                contestants,
                rounds=3 if quick else 7,
                budget_s=budget_s,
                finish=torch.cuda.synchronize if device.type == "cuda" else lambda: None,
            )
            memory = None if quick or device.type != "cpu" else memory_of(contestants)
            lines += lines_of(case, rounds, reference=STOCK, memory=memory)
            if profiled:
                remarks |= {f"{name}, {case}": str(profile_once(run)) for name, run in contestants.items()}
    return Report("predict", _QUESTION, describe_run(), tuple(lines), remarks)


def _with_the_weights_of(stock: MaskRCNN, settings: ModelSettings) -> MaskRCNN:
    model = build_model(settings, num_classes=NUM_CLASSES, pretrained=False)
    model.load_state_dict(stock.state_dict())
    return model


def _predictor_like(
    stock: MaskRCNN, ours: MaskRCNN, device: torch.device, *, precision: Literal["fp32", "bf16"] = "fp32"
) -> TorchPredictor:
    ours.roi_heads.score_thresh = stock.roi_heads.score_thresh
    ours.roi_heads.detections_per_img = stock.roi_heads.detections_per_img
    names = [str(index) for index in range(NUM_CLASSES)]
    return TorchPredictor(ours, class_names=names, device=device, precision=precision)


def _contestants(
    stock: MaskRCNN, predictor: TorchPredictor, pictures: Sequence[NDArray[np.uint8]]
) -> dict[str, Callable[[], object]]:
    return {
        STOCK: lambda: _to_cpu(run_stock(stock, pictures)),
        STOCK_ENCODED: lambda: to_rles(run_stock(stock, pictures)),
        OURS: lambda: predictor.predict(pictures),
    }


def _to_cpu(answers: Sequence[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    return [{name: tensor.cpu() for name, tensor in answer.items()} for answer in answers]


def compare(stock: dict[str, Tensor], ours: Detections) -> str:
    """Say how many instances are the same, whatever their order where scores are almost equal."""
    boxes, labels = stock["boxes"].cpu(), stock["labels"].cpu().numpy() - 1
    if not len(boxes) or not len(ours):
        return f"{len(boxes)} and {len(ours)} instances"
    iou = box_iou(boxes, torch.from_numpy(ours.boxes_xyxy)).numpy()
    iou[labels[:, None] != ours.class_indices] = 0.0
    best = iou.argmax(axis=1)
    theirs, own = (stock["masks"][:, 0] > 0.5).cpu().numpy(), ours.masks_NHW()[best]
    far = np.abs(boxes.numpy() - ours.boxes_xyxy[best]).max(axis=1)
    same = (iou.max(axis=1) > 0.99) & (len(boxes) == len(ours))
    scores = np.abs(stock["scores"].cpu().numpy() - ours.scores[best])
    return (
        f"{same.sum()} of {len(boxes)} instances; boxes within {far.max():.1g} px, scores within "
        f"{scores.max():.1g}, {(theirs != own).sum()} of {theirs.sum()} mask pixels differ"
    )
