import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import box_iou

from dataset.labelled_pictures import LabelledInstance, LabelledPicture
from maskloop.masks import encode_masks
from maskloop.settings.model_settings import ModelSettings
from models.network.build import build_model
from models.training.anchor_fit import (
    AnchorRecall,
    AnchorShapes,
    SeenBoxes,
    fit_anchors,
    measure_best_iou,
    measure_recall,
    see_boxes,
)

STRIDES = (4, 8)
SQUARES = AnchorShapes(((16,), (32,)), (1.0,))


def draw_boxes(random, count, height_px=64, width_px=96, shortest_px=2.0, longest_px=60.0):
    sides = random.uniform(shortest_px, min(longest_px, height_px), (count, 2))
    corners = random.uniform(0, 1, (count, 2)) * ([width_px, height_px] - sides)
    return SeenBoxes(
        np.concatenate([corners, corners + sides], axis=1), np.tile([height_px, width_px], (count, 1))
    )


def box_at(x_px, y_px, width_px, height_px):
    box = np.array([[x_px - width_px / 2, y_px - height_px / 2, x_px + width_px / 2, y_px + height_px / 2]])
    return SeenBoxes(box, np.array([[64, 64]]))


# --- how well anchors overlap --------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
    sizes=st.lists(st.integers(2, 90), min_size=2, max_size=4).filter(lambda found: len(found) % 2 == 0),
    ratios=st.lists(st.floats(0.2, 5.0), min_size=1, max_size=3),
)
def test_the_best_iou_is_that_of_all_of_torchvisions_anchors(seed, height, width, sizes, ratios):
    shapes = AnchorShapes((tuple(sizes[::2]), tuple(sizes[1::2])), tuple(ratios))
    size = 32 * height, 32 * width
    boxes = draw_boxes(np.random.default_rng(seed), 12, *size, longest_px=0.9 * min(size))
    maps = [torch.zeros(1, 1, size[0] // stride, size[1] // stride) for stride in STRIDES]
    generator = AnchorGenerator(shapes.sizes_px, (shapes.aspect_ratios,) * 2)
    (anchors,) = generator(ImageList(torch.zeros(1, 3, *size), [size]), maps)
    theirs = box_iou(torch.from_numpy(boxes.xyxy), anchors.double()).max(dim=1).values
    np.testing.assert_allclose(measure_best_iou(boxes, shapes, STRIDES), theirs.numpy(), atol=1e-6)


def test_a_box_on_the_grid_and_of_an_anchors_size_is_reached_wholly():
    assert measure_best_iou(box_at(12, 20, 16, 16), SQUARES, STRIDES) == pytest.approx([1.0])


def test_a_box_between_four_places_loses_what_lies_outside():
    assert measure_best_iou(box_at(14, 22, 16, 16), SQUARES, STRIDES) == pytest.approx([196 / (512 - 196)])


def test_an_aspect_ratio_is_height_over_width():
    tall = AnchorShapes(((16,), (90,)), (4.0,))
    assert measure_best_iou(box_at(32, 32, 8, 32), tall, STRIDES) == pytest.approx([1.0])


def test_recall_counts_the_boxes_above_a_half_and_above_seven_tenths():
    exact, between, far = box_at(12, 20, 16, 16), box_at(14, 22, 16, 16), box_at(32, 32, 4, 4)
    boxes = SeenBoxes(
        np.concatenate([each.xyxy for each in (exact, between, far)]), np.tile([64, 64], (3, 1))
    )
    recall = measure_recall(boxes, SQUARES, STRIDES)
    assert (recall.num_boxes, recall.at_50, recall.at_70) == (3, pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert recall.mean_iou == pytest.approx((1.0 + 196 / 316 + 16 / 256) / 3)


def test_the_recall_of_no_boxes_is_unknown():
    assert measure_recall(draw_boxes(np.random.default_rng(0), 0), SQUARES, STRIDES) == AnchorRecall(
        0, None, None, None
    )


# --- what the network sees -----------------------------------------------------------------------


def make_picture(masks, is_crowd=()):
    crowds = [*is_crowd, *[False] * (len(masks) - len(is_crowd))]
    instances = [
        LabelledInstance(0, rle, crowd) for rle, crowd in zip(encode_masks(masks), crowds, strict=True)
    ]
    height, width = masks.shape[1:]
    return LabelledPicture(
        "d", "images/d.png", "d.png", width, height, "", "g", "train", "data-v1", "human", tuple(instances)
    )


def test_boxes_are_scaled_as_the_network_scales_pictures():
    masks = np.zeros((2, 50, 103), bool)
    masks[0, 10:20, 30:50] = True
    masks[1, :, :] = True
    boxes = see_boxes([make_picture(masks)], min_size_px=100, max_size_px=180)
    model = build_model(
        ModelSettings(backbone="small", weights="scratch", min_size_px=100, max_size_px=180), num_classes=1
    )
    images, targets = model.transform(
        [torch.zeros(3, 50, 103)], [{"boxes": torch.tensor([[30.0, 10, 50, 20], [0, 0, 103, 50]])}]
    )
    np.testing.assert_allclose(boxes.xyxy, targets[0]["boxes"].numpy(), rtol=1e-6)
    assert boxes.picture_sizes.tolist() == [list(images.image_sizes[0])] * 2


def test_crowds_and_pictures_without_instances_have_no_boxes():
    masks = np.ones((2, 8, 8), bool)
    pictures = [make_picture(masks, is_crowd=(True,)), make_picture(np.zeros((0, 8, 8), bool))]
    assert len(see_boxes(pictures, min_size_px=8, max_size_px=8)) == 1
    assert len(see_boxes([], min_size_px=8, max_size_px=8)) == 0


def test_a_box_below_a_thousand_and_24_px_is_small():
    boxes = SeenBoxes(np.array([[0.0, 0, 32, 31], [0, 0, 32, 32]]), np.tile([64, 64], (2, 1)))
    assert boxes.is_small().tolist() == [True, False]


# --- fitting -------------------------------------------------------------------------------------


def test_fitting_finds_the_sizes_and_ratios_that_boxes_have():
    random = np.random.default_rng(3)
    centres = 4.0 * random.integers(8, 24, (200, 2))
    sides = np.where(random.random((200, 1)) < 0.5, [[10.0, 20.0]], [[40.0, 80.0]])
    boxes = SeenBoxes(
        np.concatenate([centres - sides / 2, centres + sides / 2], axis=1), np.tile([128, 128], (200, 1))
    )
    fitted = fit_anchors(boxes, AnchorShapes(((32,), (64,)), (1.0,)), STRIDES)
    (fine,), (coarse,) = fitted.sizes_px
    assert fine == pytest.approx(14.1, abs=1)
    assert coarse == pytest.approx(56.6, abs=2)
    assert fitted.aspect_ratios == pytest.approx((2.0,), rel=0.1)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), longest=st.floats(4.0, 64.0))
def test_fitted_anchors_overlap_no_less_and_are_as_many(seed, longest):
    boxes = draw_boxes(np.random.default_rng(seed), 40, longest_px=longest)
    present = AnchorShapes(((28, 40), (52, 60)), (0.5, 1.0, 2.0))
    fitted = fit_anchors(boxes, present, STRIDES)
    before, after = (measure_best_iou(boxes, each, STRIDES).mean() for each in (present, fitted))
    assert after >= before
    assert [len(each) for each in fitted.sizes_px] == [2, 2]
    assert len(fitted.aspect_ratios) == 3
    assert all(size >= 2 for level in fitted.sizes_px for size in level)
    ModelSettings(anchor_sizes_px=fitted.sizes_px, anchor_aspect_ratios=fitted.aspect_ratios)


def test_coarser_levels_keep_larger_anchors_and_none_below_their_stride():
    boxes = draw_boxes(np.random.default_rng(2), 60, shortest_px=3.0, longest_px=9.0)
    fitted = fit_anchors(boxes, AnchorShapes(((32,), (64,), (96,)), (1.0,)), (4, 8, 16))
    (fine,), (middle,), (coarse,) = fitted.sizes_px
    assert 4 <= fine <= middle <= coarse
    assert middle >= 8
    assert coarse >= 16


def test_small_boxes_are_reached_after_fitting():
    boxes = draw_boxes(np.random.default_rng(0), 100, shortest_px=6.0, longest_px=14.0)
    present = AnchorShapes(((32,), (64,)), (0.5, 1.0, 2.0))
    before = measure_recall(boxes, present, STRIDES)
    after = measure_recall(boxes, fit_anchors(boxes, present, STRIDES), STRIDES)
    assert before.at_50 == 0.0
    assert after.at_50 is not None
    assert after.at_50 > 0.7


def test_the_same_boxes_give_the_same_anchors_however_many_they_are(monkeypatch):
    monkeypatch.setattr("models.training.anchor_fit._MAX_BOXES_SEARCHED", 50)
    boxes = draw_boxes(np.random.default_rng(1), 200)
    assert fit_anchors(boxes, SQUARES, STRIDES) == fit_anchors(boxes, SQUARES, STRIDES)


def test_anchors_are_not_fitted_to_nothing():
    with pytest.raises(ValueError, match="no boxes"):
        fit_anchors(draw_boxes(np.random.default_rng(0), 0), SQUARES, STRIDES)
