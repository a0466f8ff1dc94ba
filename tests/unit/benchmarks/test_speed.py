import argparse
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.ops import masks_to_boxes

from benchmarks.speed import judging, train
from benchmarks.speed.__main__ import measure
from benchmarks.speed.loading import CACHED, FIRST, VARIED, StockDataset, write_pictures
from benchmarks.speed.loading import STOCK as STOCK_LOADING
from benchmarks.speed.predict import OURS, STOCK, _contestants, _predictor_like, _with_the_weights_of, compare
from benchmarks.speed.profile import profile_once
from benchmarks.speed.report import Report, lines_of
from benchmarks.speed.stock import draw_picture, let_find, make_stock_model, run_stock
from benchmarks.timing import Rounds
from dataset.pictures.decoding import decode_picture
from maskloop.settings.model_settings import ModelSettings, TrainingSettings
from models.loading.batches import BatchStream, PictureCache
from models.network.fast_parts import ALL_FAST_PARTS
from models.training.training_loop import TrainingResult


@pytest.fixture(scope="module")
def small():
    """torchvision's model and ours with the same weights, for pictures of 64 px."""
    picture = draw_picture(64, 64, seed=0)
    settings = ModelSettings(backbone="resnet50", weights="scratch", min_size_px=64, max_size_px=64)
    stock = make_stock_model(settings, picture)
    return stock, _with_the_weights_of(stock, settings), picture


@pytest.mark.parametrize("count", [0, 5])
def test_both_models_find_as_many_instances_as_wanted_and_the_same(small, count):
    stock, ours, picture = small
    let_find(stock, count, picture)
    contestants: dict[str, Any] = _contestants(
        stock, _predictor_like(stock, ours, torch.device("cpu")), [picture]
    )
    theirs, found = contestants[STOCK]()[0], contestants[OURS]()[0].detections
    assert len(theirs["scores"]) == len(found) == count
    assert compare(theirs, found).startswith(f"{count} of {count}" if count else "0 and 0")


def test_masks_are_blobs_inside_their_boxes(small):
    stock, _, picture = small
    let_find(stock, 5, picture)
    answer = run_stock(stock, [picture])[0]
    for mask, box in zip(answer["masks"][:, 0] > 0.5, answer["boxes"], strict=True):
        x0, y0, x1, y1 = box.round().int().tolist()
        if min(x1 - x0, y1 - y0) >= 8:
            assert 0.3 < mask[y0:y1, x0:x1].float().mean() < 1.0


def test_a_difference_is_said(small):
    stock, ours, picture = small
    let_find(stock, 5, picture)
    contestants: dict[str, Any] = _contestants(
        stock, _predictor_like(stock, ours, torch.device("cpu")), [picture]
    )
    found = contestants[OURS]()
    answer = run_stock(stock, [picture])[0]
    assert compare(answer, found[0].detections).startswith("5 of 5")
    answer["labels"] = answer["labels"] % 90 + 1
    assert compare(answer, found[0].detections).startswith("0 of 5")


@pytest.mark.parametrize("subject", ["masks", "evaluate"])
def test_every_contestant_gives_the_same_answer(subject, monkeypatch):
    monkeypatch.setattr("benchmarks.speed.masks.SIZES_QUICK", ((50, 70),))
    monkeypatch.setattr("benchmarks.speed.evaluate.NUM_PICTURES_QUICK", 4)
    wanted = argparse.Namespace(quick=True, budget_s=0.01, device="cpu", min_size_px=None)
    remarks: Mapping[str, Any] = measure(subject, wanted).remarks
    values = [
        value for each in remarks.values() for value in (each.values() if isinstance(each, dict) else [each])
    ]
    assert len(values) >= 1
    assert all(float(value) < 1e-12 for value in values)


def test_a_profile_names_the_dearest_operators_and_counts_what_is_waited_for():
    matrix = torch.randn(300, 300)
    seen = profile_once(lambda: [(matrix @ matrix).sum().item() for _ in range(3)])
    assert "aten::mm" in dict(seen.dearest)
    assert sum(share for _, share in seen.dearest) <= 1.0 + 1e-9
    assert seen.waits == 3
    assert seen.operators >= 9
    assert str(seen).startswith(f"{seen.operators} operators, 3 waits, 0 kernel launches; ")


def test_a_report_is_a_table_and_a_file(tmp_path):
    rounds = Rounds({"a": (2.0, 2.0), "b": (0.5, 1.0)}, {"a": (2.0, 2.0), "b": (1.0, 1.0)})
    lines = tuple(lines_of("small", rounds, reference="a", memory={"a": 2**20, "b": None}))
    report = Report("masks", "What?", {"python": "3"}, lines, {"equal": "yes"})
    path = report.write(tmp_path / "runs")
    stored = json.loads(path.read_text())
    assert stored["lines"][1]["times_faster"] == {"median": 3.0, "low": 2.5, "high": 3.5}
    table = path.with_suffix(".md").read_text()
    assert "| small | a | 2 | 2 | 1 (1-1) | 1 | 1 |" in table
    assert "| small | b | 0.75 | 1 | 3 (2.5-3.5) | 2 |  |" in table
    assert "- equal: yes\n- python 3" in table
    assert np.isfinite(stored["lines"][0]["cpu_s"])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_loading_gives_the_targets_of_the_reference(tmp_path):
    coco, version = write_pictures(tmp_path, 2)
    settings = TrainingSettings(horizontal_flip=0.0, colour_jitter=0.0)
    cache = PictureCache(version, lambda path: decode_picture(path.read_bytes(), max_mpx=1.0))
    batch = BatchStream(cache, [version.pictures], settings).make(0)
    for number, (image, target) in enumerate(zip(batch.images, batch.targets, strict=True)):
        torch.manual_seed(0)  # whether the reference flips depends on it
        theirs, expected = StockDataset(tmp_path, coco)[number]
        theirs = (theirs * 255).round().byte()
        is_flipped = torch.equal(theirs.flip(-1), image)
        masks = expected["masks"].flip(-1) if is_flipped else expected["masks"]
        assert is_flipped or torch.equal(theirs, image)
        assert torch.equal(target["labels"], expected["labels"])
        assert target["crop_pixels"].sum() == masks.sum()
        assert torch.equal(masks_to_boxes(masks) + torch.tensor([0, 0, 1, 1]), target["boxes"])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_loading_counts_the_same_instances_for_all(monkeypatch):
    monkeypatch.setattr("benchmarks.speed.loading.NUM_PICTURES_QUICK", 3)
    monkeypatch.setattr("benchmarks.speed.loading.WORKERS", (0,))
    wanted = argparse.Namespace(quick=True, budget_s=0.01, device="cpu", min_size_px=None)
    report = measure("loading", wanted)
    counted: Any = report.remarks["instances in one pass, 0 workers"]
    assert set(counted.values()) == {21}
    assert {line.name for line in report.lines} == {STOCK_LOADING, FIRST, CACHED, VARIED}


TINY = train.Case(
    "tiny", ModelSettings(**{**train.small_network().model_dump(), "min_size_px": 64}), 2, 64, 64, 3, (16, 30)
)


@pytest.mark.parametrize("computes_bf16", [False, True])
def test_each_step_goes_on_from_the_one_before(computes_bf16, monkeypatch):
    monkeypatch.setattr("models.devices.computes_bf16", lambda device: computes_bf16)
    contestants = train.make_contestants(TINY, torch.device("cpu"), each_part=not computes_bf16)
    without = {f"{train.OURS} without {part}" for part in ALL_FAST_PARTS}
    others = {train.STOCK_BF16, train.OURS_FP32} if computes_bf16 else without
    assert set(contestants) == {train.STOCK, train.OURS} | others
    for run in contestants.values():
        losses = [run() for _ in range(3)]
        assert np.isfinite(losses).all()
        assert len(set(losses)) == 3


def test_training_is_reported_with_memory_and_profile(monkeypatch):
    monkeypatch.setattr(train, "cases", lambda *, quick: [TINY])
    report = train.measure_train(torch.device("cpu"), quick=True, budget_s=0.01, profiled=True)
    assert [line.name for line in report.lines][:2] == [train.STOCK, train.OURS]
    assert any("waits" in str(remark) for remark in report.remarks.values())


def test_whole_runs_hear_the_same_verdicts_between_and_beside_their_steps(monkeypatch):
    tiny = judging.Case("tiny", TINY.settings, 2, 4, 3)
    monkeypatch.setattr(judging, "cases", lambda _device, *, quick: [tiny])
    report = judging.measure_judging(torch.device("cpu"), quick=True, budget_s=0.01)
    assert [line.name for line in report.lines] == [judging.NEVER, judging.BETWEEN, judging.BESIDE]
    assert report.remarks["both ways said the same, tiny"] is True


def test_a_run_that_is_never_evaluated_differs_in_nothing_else():
    tiny = judging.Case("tiny", TINY.settings, 2, 4, 3)
    results: dict[str, TrainingResult] = {}
    for run in judging.make_contestants(tiny, torch.device("cpu"), results).values():
        run()
    assert [len(each.history) for each in results.values()] == [0, 4, 4]
    assert {each.steps_done for each in results.values()} == {4}


@pytest.mark.parametrize(("device", "count"), [("cpu", 1), ("cuda", 2)])
def test_only_a_gpu_trains_the_large_network_to_its_end(device, count):
    for quick in (False, True):
        found = judging.cases(torch.device(device), quick=quick)
        assert len(found) == count
        assert all(case.steps % 4 == 0 for case in found)
