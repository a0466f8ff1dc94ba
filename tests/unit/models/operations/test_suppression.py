import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import batched_nms, box_iou

from models.operations.suppression import Suppression

# The second box overlaps the first by 8 of 10 columns: an IoU of 80 / 120. The third stands alone.
BOXES = torch.tensor([[0.0, 0, 10, 10], [2.0, 0, 12, 10], [50.0, 50, 60, 60]])
SCORES = torch.tensor([0.9, 0.8, 0.3])
ALIKE = torch.ones(3, dtype=torch.int64)
NUMBERS: dict[str, Any] = {"iou_threshold": 0.5, "min_score": 0.05, "max_kept": 10}


def draw(seed, count):
    generator = torch.Generator().manual_seed(seed)
    corners = 20 * torch.rand(count, 2, generator=generator)
    boxes = torch.cat([corners, corners + 4 + 12 * torch.rand(count, 2, generator=generator)], dim=1)
    scores = torch.rand(count, generator=generator)
    return boxes, scores, torch.randint(1, 4, (count,), generator=generator)


def test_hard_suppression_is_torchvisions():
    boxes, scores, labels = draw(0, 60)
    kept, left = Suppression().choose(boxes, scores, labels, iou_threshold=0.4, min_score=0.0, max_kept=9)
    assert torch.equal(kept, batched_nms(boxes, scores, labels, 0.4)[:9])
    assert torch.equal(left, scores[kept])


def test_linear_multiplies_by_what_is_not_shared():
    kept, left = Suppression("linear").choose(BOXES, SCORES, ALIKE, **NUMBERS)
    assert kept.tolist() == [0, 2, 1]
    assert left.tolist() == pytest.approx([0.9, 0.3, 0.8 * (1 - 80 / 120)])


def test_linear_leaves_boxes_below_the_threshold_alone():
    kept, left = Suppression("linear").choose(BOXES, SCORES, ALIKE, **{**NUMBERS, "iou_threshold": 0.7})
    assert kept.tolist() == [0, 1, 2]
    assert left.tolist() == pytest.approx([0.9, 0.8, 0.3])


@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_gaussian_multiplies_by_a_bell_curve(sigma):
    kept, left = Suppression("gaussian", sigma).choose(BOXES, SCORES, ALIKE, **NUMBERS)
    lowered = 0.8 * math.exp(-((80 / 120) ** 2) / sigma)
    expected = sorted([(0.9, 0), (lowered, 1), (0.3, 2)], reverse=True)
    assert kept.tolist() == [index for _, index in expected]
    assert left.tolist() == pytest.approx([score for score, _ in expected])


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_other_classes_do_not_lower_a_score(method):
    kept, left = Suppression(method).choose(BOXES, SCORES, torch.tensor([1, 2, 1]), **NUMBERS)
    assert kept.tolist() == [0, 1, 2]
    assert left.tolist() == pytest.approx([0.9, 0.8, 0.3])


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_what_falls_to_the_floor_is_dropped_and_nothing_stays_nothing(method):
    same = BOXES[:1].repeat(2, 1)
    kept, _ = Suppression(method, 0.2).choose(same, SCORES[:2], ALIKE[:2], **NUMBERS)
    assert kept.tolist() == [0]
    for found in Suppression(method).choose(BOXES[:0], SCORES[:0], ALIKE[:0], **NUMBERS):
        assert len(found) == 0


def suppress_one_by_one(boxes, scores, labels, method, sigma, iou_threshold, min_score, max_kept):
    """The paper's figure 2, literally."""
    iou, left, remaining = box_iou(boxes, boxes), scores.tolist(), list(range(len(boxes)))
    picked: list[int] = []
    while remaining and len(picked) < max_kept:
        best = max(remaining, key=lambda index: left[index])
        remaining.remove(best)
        picked.append(best)
        for other in remaining:
            overlap = float(iou[best, other]) if labels[best] == labels[other] else 0.0
            if method == "gaussian":
                left[other] *= math.exp(-(overlap**2) / sigma)
            elif overlap > iou_threshold:
                left[other] *= 1 - overlap
    return [(index, left[index]) for index in picked if left[index] > min_score]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(0, 25),
    method=st.sampled_from(["linear", "gaussian"]),
    max_kept=st.integers(1, 30),
)
def test_soft_suppression_is_the_papers_loop(seed, count, method, max_kept):
    boxes, scores, labels = draw(seed, count)
    numbers = {"iou_threshold": 0.3, "min_score": 0.2, "max_kept": max_kept}
    kept, left = Suppression(method, 0.5).choose(boxes, scores, labels, **numbers)
    expected = suppress_one_by_one(boxes, scores, labels, method, 0.5, **numbers)
    assert left.tolist() == pytest.approx([score for _, score in expected], abs=1e-5)
    assert left.tolist() == sorted(left.tolist(), reverse=True)
    assert sorted(kept.tolist()) == sorted(index for index, _ in expected)
