"""Crowd regions go along with their picture, and what lies in them teaches nothing."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models.detection.image_list import ImageList

from dataset.labelled_pictures import LabelledInstance
from maskloop.masks import encode_masks
from maskloop.settings.model_settings import AugmentationSettings, TrainingSettings
from models.loading.augmentation import augment, paste_instances
from models.loading.batches import make_example
from models.loading.examples import (
    CropArea,
    TrainingExample,
    cut,
    flip_sideways,
    flip_upside_down,
    place_of,
    resize,
    tighten,
)
from models.network.build import build_model
from models.operations.crops import MaskCrop
from models.operations.crowds import CROWD_AREA, crowd_shares, leave_out_crowds, sum_crowds
from models.operations.mask_targets import make_target

WIDTH_PX, HEIGHT_PX = 96, 48
LEFT_HALF = MaskCrop(0, 0, np.ones((HEIGHT_PX, WIDTH_PX // 2), dtype=bool))


def drawn(crops, size_px):
    masks = np.zeros((len(crops), *size_px), dtype=bool)
    for mask, crop in zip(masks, crops, strict=True):
        mask[place_of(crop)] = crop.pixels
    return masks


@st.composite
def twins(draw):
    """An example whose crowd regions are its instances' masks, so that they must stay the same."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    height, width = draw(st.integers(2, 20)), draw(st.integers(2, 20))
    masks = random.random((draw(st.integers(1, 4)), height, width)) < 0.3
    crops = tuple(crop for mask in masks if (crop := tighten(0, 0, mask)) is not None)
    pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return TrainingExample(pixels, np.arange(1, len(crops) + 1), crops, crops)


def assert_still_twins(example):
    masks, regions = drawn(example.crops, example.size_px), drawn(example.crowds, example.size_px)
    np.testing.assert_array_equal(masks, regions)


@given(twins(), st.data())
def test_crowd_regions_are_flipped_cut_and_scaled_as_masks_are(example, data):
    height, width = example.size_px
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    window = CropArea(left, top, width - left, height - top)
    for changed in (
        flip_sideways(example),
        flip_upside_down(example),
        cut(example, window, 0.0),
        resize(example, data.draw(st.integers(1, 30)), data.draw(st.integers(1, 30))),
    ):
        assert_still_twins(changed)


@given(twins(), st.integers(0, 2**32))
def test_crowd_regions_go_through_mosaics_crops_and_scale_jitter_as_masks_do(example, seed):
    extra = AugmentationSettings(mosaic=0.5, crop=0.5, scale_range=(0.5, 2.0), min_visible=0.0)
    settings = TrainingSettings(horizontal_flip=0.5, vertical_flip=0.5, augmentation=extra)
    assert_still_twins(augment(example, settings, np.random.default_rng(seed), lend=lambda _random: example))


def test_a_pasted_instance_covers_a_crowd_region():
    pixels = np.zeros((4, 4, 3), np.uint8)
    example = TrainingExample(pixels, np.zeros(0, np.int64), (), (MaskCrop(0, 0, np.ones((4, 2), bool)),))
    donor = TrainingExample(pixels + 1, np.array([1]), (MaskCrop(0, 0, np.ones((4, 1), bool)),))
    pasted = next(
        found
        for seed in range(20)
        if (found := paste_instances(example, donor, np.random.default_rng(seed), 0.5)).crops
    )
    (region,) = pasted.crowds
    assert region.box_xyxy == (1, 0, 2, 4)


def test_a_picture_with_crowds_has_their_area_in_its_target_and_one_without_has_none(shapes):
    pixels, mask, _ = shapes.draw(0)
    settings = TrainingSettings(horizontal_flip=0.0, colour_jitter=0.0)
    picture = shapes.make_picture(0)
    (one,) = picture.instances
    crowded = dataclasses.replace(picture, instances=(one, dataclasses.replace(one, is_crowd=True)))
    for given_picture, area in ((picture, None), (crowded, mask.sum())):
        _, target = make_example(given_picture, pixels, settings, np.random.default_rng(0))
        assert len(target["boxes"]) == 1
        assert (area is None and CROWD_AREA not in target) or target[CROWD_AREA][-1, -1] == area


def test_the_share_of_a_box_in_a_crowd_is_that_of_its_own_area_inside_the_picture():
    summed = sum_crowds([LEFT_HALF], height_px=HEIGHT_PX, width_px=WIDTH_PX)
    boxes = torch.tensor(
        [
            [0.0, 0, 48, 48],  # the region itself
            [40, 0, 56, 10],  # half in it
            [48, 0, 96, 48],  # beside it
            [-10, -10, 10, 10],  # what lies outside the picture counts for nothing
            [200, 200, 210, 210],  # nothing of it lies inside
        ]
    )
    shares = crowd_shares(summed, boxes, (HEIGHT_PX, WIDTH_PX))
    assert shares.tolist() == [1.0, 0.5, 0.0, 1.0, 0.0]
    halved = crowd_shares(summed, boxes / 2, (HEIGHT_PX // 2, WIDTH_PX // 2))
    assert halved.tolist() == shares.tolist()


@given(st.integers(0, 2**32))
def test_the_share_of_a_box_is_counted_over_overlapping_regions_once(seed):
    random = np.random.default_rng(seed)
    masks = random.random((3, 9, 13)) < 0.4
    crops = [crop for mask in masks if (crop := tighten(0, 0, mask)) is not None]
    summed = sum_crowds(crops, height_px=9, width_px=13)
    x0, y0 = int(random.integers(0, 13)), int(random.integers(0, 9))
    x1, y1 = int(random.integers(x0 + 1, 14)), int(random.integers(y0 + 1, 10))
    expected = np.asarray(masks.any(axis=0))[y0:y1, x0:x1].mean()
    assert crowd_shares(summed, torch.tensor([[x0, y0, x1, y1]]).float(), (9, 13)).item() == pytest.approx(
        expected
    )


def test_background_mostly_in_a_crowd_is_left_out_and_instances_there_are_learned():
    target = make_target(
        [], np.zeros(0, np.int64), height_px=HEIGHT_PX, width_px=WIDTH_PX, crowds=[LEFT_HALF]
    )
    boxes = torch.tensor([[[0.0, 0, 40, 40], [0, 0, 40, 40], [44, 0, 64, 10], [40, 0, 56, 10]]])
    labels = torch.tensor([[0, 2, 0, 0], [0, 2, 0, 0]])
    leave_out_crowds(labels, boxes, [target, {}], [(HEIGHT_PX, WIDTH_PX)] * 2)
    assert labels.tolist() == [[-1, 2, 0, 0], [0, 2, 0, 0]]


def crowd_picture():
    """A picture with one instance on the right; the left half is a crowd, or not."""
    instance = MaskCrop(64, 16, np.ones((14, 14), bool))
    return [
        make_target([instance], np.array([1]), height_px=HEIGHT_PX, width_px=WIDTH_PX, crowds=crowds)
        for crowds in ([LEFT_HALF], [])
    ]


@pytest.fixture
def network(shapes):
    """Draws every anchor and every proposal, so that nothing is left out by chance."""
    settings = shapes.tiny_settings().model.model_copy(
        update={"anchors_per_picture": 4096, "rois_per_picture": 512}
    )
    torch.manual_seed(0)
    return build_model(settings, num_classes=2).train()


def features_of(network, values):
    torch.manual_seed(1)
    names = network.backbone(torch.zeros(1, 3, HEIGHT_PX, WIDTH_PX))
    return {name: (values * torch.rand_like(each)).requires_grad_() for name, each in names.items()}


@pytest.mark.parametrize("is_crowd", [True, False])
def test_no_anchor_in_a_crowd_moves_the_proposals_losses(network, is_crowd):
    target, features = crowd_picture()[not is_crowd], features_of(network, 1.0)
    images = ImageList(torch.zeros(1, 3, HEIGHT_PX, WIDTH_PX), [(HEIGHT_PX, WIDTH_PX)])
    _, losses = network.rpn(images, features, [target])
    sum(losses.values()).backward()
    gradients = [each.grad[..., : each.shape[-1] // 4] for each in features.values()]  # deep in the region
    assert all(gradient.any() for gradient in gradients) is not is_crowd
    if is_crowd:
        assert not any(gradient.any() for gradient in gradients)
    assert all(each.grad.any() for each in features.values())


@pytest.mark.parametrize("is_crowd", [True, False])
def test_no_proposal_in_a_crowd_moves_the_heads_losses(network, is_crowd):
    target, features = crowd_picture()[not is_crowd], features_of(network, 1.0)
    proposals = [torch.tensor([[2.0, 2, 20, 20], [4, 20, 24, 44], [60, 12, 80, 32]])]
    _, losses = network.roi_heads(features, proposals, [(HEIGHT_PX, WIDTH_PX)], [target])
    sum(losses.values()).backward()
    pooled = features[network.roi_heads.box_roi_pool.featmap_names[0]].grad
    assert pooled[..., : pooled.shape[-1] // 4].any() == (not is_crowd)
    assert pooled.any()


def test_an_instance_in_a_crowd_region_is_still_learned(network):
    crowd = MaskCrop(0, 0, np.ones((HEIGHT_PX, WIDTH_PX), bool))
    instance = MaskCrop(20, 16, np.ones((14, 14), bool))
    target = make_target([instance], np.array([1]), height_px=HEIGHT_PX, width_px=WIDTH_PX, crowds=[crowd])
    features = features_of(network, 1.0)
    proposals = [torch.tensor([[60.0, 12, 80, 32]])]
    _, losses = network.roi_heads(features, proposals, [(HEIGHT_PX, WIDTH_PX)], [target])
    assert losses["loss_mask"] > 0.0
    images = ImageList(torch.zeros(1, 3, HEIGHT_PX, WIDTH_PX), [(HEIGHT_PX, WIDTH_PX)])
    _, losses = network.rpn(images, features, [target])
    assert losses["loss_objectness"] > 0.0


def test_crowds_of_the_catalog_reach_the_example(shapes):
    mask, empty = encode_masks(np.array([[[0, 1], [1, 1]], [[0, 0], [0, 0]]], dtype=bool))
    from models.loading.examples import read_example

    picture = dataclasses.replace(
        shapes.make_picture(0),
        height_px=2,
        width_px=2,
        instances=(LabelledInstance(0, mask, is_crowd=True), LabelledInstance(0, empty, is_crowd=True)),
    )
    example = read_example(picture, np.zeros((2, 2, 3), np.uint8))
    assert example.crops == ()
    (region,) = example.crowds
    assert region.pixels.tolist() == [[False, True], [True, True]]
