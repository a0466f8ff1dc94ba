"""Prediction in the formats a model can be exported to, beside torch, on a CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.models.detection import MaskRCNN

from benchmarks.provenance import describe_run
from benchmarks.speed.predict import OURS, STOCK_ENCODED
from benchmarks.speed.report import Line, Report, lines_of, memory_of
from benchmarks.speed.stock import NUM_CLASSES, draw_picture, let_find, make_stock_model, run_stock, to_rles
from benchmarks.timing import take_turns
from evaluation.parity import compare_pictures, summarise_parity
from maskloop.errors import ConfigurationError
from maskloop.settings.model_settings import ModelSettings
from models.answering.predictor import TorchPredictor
from models.artifacts.manifest import ArtifactFacts, load_manifest
from models.artifacts.model_folder import save_artifact
from models.exports.formats import load_export, write_export
from models.exports.manifest import EXPORT_FORMATS, ExportFormat
from models.network.build import build_model

_QUESTION: Final = (
    "Pictures (uint8) to boxes, classes, scores and masks: the same ResNet-50 FPN weights in torchvision, in "
    "maskloop's `TorchPredictor`, and in its exports, whose networks another library runs."
)
_INSTANCES: Final = 100
_CALIBRATED_ON: Final = 8


def measure_export(*, quick: bool, batches: Sequence[int], min_size_px: int, budget_s: float) -> Report:
    """Time all formats whose packages are installed at each batch size, with 100 instances a picture."""
    pictures = [draw_picture(480, 640, seed=0)] * max(batches)
    sizes = {"min_size_px": min_size_px, "max_size_px": min_size_px * 5 // 3, "max_detections": _INSTANCES}
    settings = ModelSettings(backbone="resnet50", weights="scratch", **sizes)
    stock = make_stock_model(settings, pictures[0])
    let_find(stock, _INSTANCES, pictures[0])
    settings = settings.model_copy(update={"min_score": stock.roi_heads.score_thresh})
    remarks: dict[str, object] = {
        "pictures": f"640 x 480 px, shorter side resized to {min_size_px} px, {_INSTANCES} instances"
    }
    with tempfile.TemporaryDirectory() as scratch:
        predictors = _predictors(stock, settings, Path(scratch), remarks)
        lines: list[Line] = []
        for batch in batches:
            contestants = _contestants(stock, predictors, pictures[:batch])
            rounds = take_turns(contestants, rounds=3 if quick else 7, budget_s=budget_s)
            memory = None if quick else memory_of(contestants)
            lines += lines_of(f"batch {batch}", rounds, reference=STOCK_ENCODED, memory=memory)
        remarks |= _compare(predictors, pictures[0])
    return Report("export", _QUESTION, describe_run(), tuple(lines), remarks)


def _predictors(
    stock: MaskRCNN, settings: ModelSettings, scratch: Path, remarks: dict[str, object]
) -> dict[str, TorchPredictor]:
    names = tuple(str(index) for index in range(NUM_CLASSES))
    ours = build_model(settings, num_classes=NUM_CLASSES, pretrained=False)
    ours.load_state_dict(stock.state_dict())
    save_artifact(scratch / "model", ours, ArtifactFacts(names, settings, score_threshold=0.0))
    predictors = {OURS: TorchPredictor(ours, class_names=names, device=torch.device("cpu"))}
    for wanted in EXPORT_FORMATS:
        try:
            predictors[wanted] = _export(ours, scratch, wanted)
        except ConfigurationError as error:
            remarks[wanted] = f"not measured: {error}"
    return predictors


def _export(model: MaskRCNN, scratch: Path, wanted: ExportFormat) -> TorchPredictor:
    seen = [(str(seed), draw_picture(480, 640, seed=seed)) for seed in range(_CALIBRATED_ON)]
    manifest = load_manifest(scratch / "model")
    write_export(scratch / wanted, model, manifest, wanted, calibration=seen)
    return load_export(scratch / wanted)


def _contestants(
    stock: MaskRCNN, predictors: Mapping[str, TorchPredictor], pictures: Sequence[NDArray[np.uint8]]
) -> dict[str, Callable[[], object]]:
    def call(predictor: TorchPredictor) -> Callable[[], object]:
        return lambda: predictor.predict(pictures)

    ours = {name: call(predictor) for name, predictor in predictors.items()}
    return {STOCK_ENCODED: lambda: to_rles(run_stock(stock, pictures)), **ours}


def _compare(predictors: Mapping[str, TorchPredictor], picture: NDArray[np.uint8]) -> dict[str, object]:
    """Say how far formats agree with torch: less than trained ones, as random weights prefer no class."""
    answers = {name: predictor.predict([picture])[0].detections for name, predictor in predictors.items()}
    found: dict[str, object] = {}
    for name in answers.keys() - {OURS}:
        parity = summarise_parity([compare_pictures(answers[OURS], answers[name], score_threshold=0.0)])
        both = f"{parity.num_both} of {parity.num_either} instances found by both"
        found[f"equal, {name}"] = f"{both}, mask IoU {parity.mask_iou:.4f}"
    return found
