"""What is measured, each case by itself, so that a run that was interrupted goes on with the next one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from benchmarks.speed.profile import profile_once
from benchmarks.speed.stock import NUM_CLASSES, draw_picture, let_find, make_stock_model, run_stock
from benchmarks.speed.train import Case, make_contestants, peak_bytes
from maskloop.settings.model_settings import ModelSettings
from models.answering.inference import copy_for_inference
from models.answering.predictor import TorchPredictor
from models.devices import computes_bf16
from models.network.build import build_model
from models.network.parts import parts_of

Found = Mapping[str, Any]
"""Figures of one case by name, units in the names; JSON writes them."""

_TRAINED_INSTANCES: Final = 7
_FOUND_INSTANCES: Final = 100


@dataclass(frozen=True)
class Size:
    """How large everything is.

    Attributes:
        height_px: Of the pictures, as the network sees them.
        width_px: Theirs.
        training_batches: Pictures in a step.
        prediction_batches: Pictures in a prediction.
        repetitions: Of what is timed, after one that is not; the best counts.
    """

    height_px: int
    width_px: int
    training_batches: tuple[int, ...]
    prediction_batches: tuple[int, ...]
    repetitions: int


FULL: Final = Size(800, 1344, (2, 8, 16), (1, 8), 8)
SMALL: Final = Size(96, 160, (1,), (1,), 1)
"""Proves on a CPU that everything runs; its figures mean nothing."""


def name_cases(size: Size, device: torch.device) -> dict[str, Callable[[], Found]]:
    """Return every case by name, what matters most first."""
    cases: dict[str, Callable[[], Found]] = {}
    for batch in size.prediction_batches:
        cases[f"predict, batch {batch}"] = partial(_predict, size, device, batch)
    for batch in size.training_batches:
        cases[f"train, batch {batch}"] = partial(_train, size, device, batch)
    for batch in size.prediction_batches:
        cases[f"CUDA graph of the convolutions, batch {batch}"] = partial(_graph, size, device, batch)
    return cases


def _settings(size: Size) -> ModelSettings:
    """Return torchvision's `maskrcnn_resnet50_fpn`, frozen where a pretrained one is."""
    return ModelSettings(
        backbone="resnet50", weights="imagenet", min_size_px=size.height_px, max_size_px=size.width_px
    )


def _train(size: Size, device: torch.device, batch: int) -> Found:
    """Steps of torchvision, torchvision in bf16 and compiled, ours and ours in float32."""
    sides_px = (max(8, size.height_px // 25), size.height_px // 3)
    case = Case("train", _settings(size), batch, size.height_px, size.width_px, _TRAINED_INSTANCES, sides_px)
    found: dict[str, Any] = {}
    for name, step in make_contestants(case, device).items():
        with _failing_alone(found, name):
            found[name] = {**_measure(step, size, device, batch), "loss": step()}
    return found


def _predict(size: Size, device: torch.device, batch: int) -> Found:
    """torchvision with pasted masks, ours, and ours in bf16 where the device computes it."""
    picture = draw_picture(size.height_px, size.width_px, seed=0)
    pictures = [picture] * batch
    settings = _settings(size)
    stock = make_stock_model(settings, picture).to(device)
    let_find(stock, _FOUND_INSTANCES, picture)
    contestants: dict[str, Callable[[], Any]] = {
        "torchvision": lambda: [answer["masks"].cpu() for answer in run_stock(stock, pictures)]
    }
    for precision in ("fp32", "bf16") if computes_bf16(device) else ("fp32",):
        ours = _predictor(stock, settings, device, precision)
        contestants[f"maskloop, {precision}"] = partial(ours.predict, pictures)
    found: dict[str, Any] = {}
    for name, run in contestants.items():
        with _failing_alone(found, name):
            found[name] = _measure(run, size, device, batch)
    return found


def _measure(run: Callable[[], Any], size: Size, device: torch.device, batch: int) -> dict[str, Any]:
    seconds, seen = _best_seconds(run, size, device), profile_once(run)
    return {
        "pictures_per_second": batch / seconds,
        "ms": 1e3 * seconds,
        "peak_bytes": peak_bytes({"": run}, device)[""],
        "waits": seen.waits,
        "launches": seen.launches,
    }


def _predictor(
    stock: MaskRCNN, settings: ModelSettings, device: torch.device, precision: Literal["fp32", "bf16"]
) -> TorchPredictor:
    model = build_model(settings, num_classes=NUM_CLASSES, pretrained=False)
    model.load_state_dict(stock.state_dict())
    model.roi_heads.score_thresh = stock.roi_heads.score_thresh
    names = [str(index) for index in range(NUM_CLASSES)]
    return TorchPredictor(model, class_names=names, device=device, precision=precision)


def _graph(size: Size, device: torch.device, batch: int) -> Found:
    """Backbone, pyramid and proposal head of one fixed size, launched one by one and replayed as a graph."""
    settings = _settings(size)
    picture = draw_picture(size.height_px, size.width_px, seed=0)
    stock = make_stock_model(settings, picture).to(device)
    scan = parts_of(copy_for_inference(stock, device)).scan
    pictures = torch.rand(batch, 3, size.height_px, size.width_px, device=device)
    with torch.inference_mode():
        found: dict[str, Any] = {
            "one by one": {"ms": 1e3 * _best_seconds(partial(scan, pictures), size, device)}
        }
        if device.type == "cuda":
            with _failing_alone(found, "graph"):
                replay, answer = _record(scan, pictures)
                replay()
                torch.cuda.synchronize(device)
                found["graph"] = {
                    "ms": 1e3 * _best_seconds(replay, size, device),
                    "largest_difference": _difference(answer, scan(pictures)[1]),
                }
    return found


def _record(scan: Callable[[Tensor], Any], pictures: Tensor) -> tuple[Callable[[], None], list[Tensor]]:
    """Record a CUDA graph after three runs on a side stream, as torch's documentation asks for."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            scan(pictures)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        answer = scan(pictures)[1]
    return graph.replay, answer


def _difference(some: list[Tensor], others: list[Tensor]) -> float:
    return max(float((one - other).abs().max()) for one, other in zip(some, others, strict=True))


def _best_seconds(run: Callable[[], object], size: Size, device: torch.device) -> float:
    """Return the shortest of some runs by the clock, until the device has done all, after one untimed."""
    best = float("inf")
    for turn in range(size.repetitions + 1):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if turn:
            best = min(best, time.perf_counter() - start)
    return best


@contextmanager
def _failing_alone(found: dict[str, Any], name: str) -> Iterator[None]:
    """Note a contestant that fails, for want of memory or a compiler, and let the others be measured."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever a compiler or a device may raise
        found[name] = {"failed": f"{type(error).__name__}: {error}"[:300]}
