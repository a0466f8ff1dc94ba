"""The copy for inference answers as torchvision does: no further from exact numbers, on the same weights."""

import copy

import numpy as np
import pytest
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import MultiScaleRoIAlign, box_iou

from maskloop.settings.model_settings import ModelSettings
from models.answering.inference import convolves_whole_regions, copy_for_inference, find_regions
from models.network.build import build_model
from models.operations.convolutions import TransformedConv2d
from models.operations.gathering import GatheringRoIAlign

CPU = torch.device("cpu")
HEIGHT_PX, WIDTH_PX = 96, 128
BACKBONES = ("small", "mobilenet_v3", "resnet18", "resnet50", "resnet50_v2")
NEWER_BACKBONES = ("efficientnet_b0", "resnet34", "resnext50", "convnext_tiny", "swin_t")
FOLDED = {
    "small": 5, "mobilenet_v3": 46, "resnet18": 20, "resnet50": 53, "resnet50_v2": 53 + 8 + 4 + 4,
    "efficientnet_b0": 48, "resnet34": 36, "resnext50": 53, "convnext_tiny": 0, "swin_t": 0,
}  # fmt: skip


def build(backbone, **changes):
    torch.manual_seed(0)
    sizes = {"min_size_px": HEIGHT_PX, "max_size_px": WIDTH_PX, "test_proposals": 100, "max_detections": 20}
    settings = ModelSettings(backbone=backbone, weights="scratch", **{**sizes, **changes})
    model = build_model(settings, num_classes=3).eval()
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.8, 1.5)
        elif name.endswith("running_mean"):
            buffer.uniform_(-0.2, 0.2)
    return model


def draw(count=1):
    """Smooth noise, float32 (B, 3, H, W)."""
    coarse = torch.rand(count, 3, 12, 16, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(coarse, size=(HEIGHT_PX, WIDTH_PX), mode="bilinear")


def in_double_precision(model):
    """torchvision's own modules in float64."""
    exact = copy.deepcopy(model).double()
    for name in ("box_roi_pool", "mask_roi_pool"):
        pool = getattr(exact.roi_heads, name)
        own = MultiScaleRoIAlign(pool.featmap_names, pool.output_size, pool.sampling_ratio)
        setattr(exact.roi_heads, name, own)
    return exact


def run(model, batch, min_score=0.0):
    with torch.inference_mode():
        return find_regions(model, batch, min_score)


def distance(found, exact):
    """Return how far boxes (px), scores and mask probabilities are off, instance by instance."""
    iou = box_iou(found.boxes.double(), exact.boxes)
    iou[found.labels[:, None] != exact.labels] = 0.0
    best = iou.argmax(dim=1)
    assert len(found.boxes) == len(exact.boxes) == len(best.unique()) > 10
    assert iou.max(dim=1).values.min() > 0.95
    pairs = [(getattr(found, name), getattr(exact, name)[best]) for name in ("boxes", "scores", "masks")]
    return np.array([float((ours - theirs).abs().max()) for ours, theirs in pairs])


@pytest.mark.parametrize("backbone", BACKBONES + NEWER_BACKBONES)
def test_rounding_takes_a_copy_about_as_far_from_exact_numbers_as_torchvision(backbone):
    model, picture = build(backbone, max_detections=12), draw()
    exact = run(in_double_precision(model), picture.double())[0][0]
    stock, fast = (run(one, picture)[0][0] for one in (model, copy_for_inference(model, CPU)))
    assert (distance(fast, exact) <= 6 * distance(stock, exact) + [1e-4, 1e-6, 1e-5]).all()
    assert (distance(fast, exact) <= [0.02, 1e-4, 1e-3]).all()


@pytest.mark.parametrize(
    ("backbone", "changes"),
    [
        ("small", {}),
        ("resnet18", {}),
        ("small", {"class_agnostic_masks": True}),
        ("resnet18", {"mask_roi_size_px": 28}),
    ],
    ids=str,
)
def test_the_stages_are_those_of_torchvisions_own_forward(backbone, changes):
    model, picture = build(backbone, min_size_px=60, max_size_px=90, **changes), draw()[0]
    with torch.inference_mode():
        theirs = model([picture])[0]
        ours = find_regions(model, picture[None], 0.0)[0][0]
        pasted = paste_masks_in_image(ours.masks[:, None], ours.boxes, (HEIGHT_PX, WIDTH_PX))
    assert len(theirs["boxes"]) > 10
    for mine, name in (
        (ours.boxes, "boxes"),
        (ours.scores, "scores"),
        (ours.labels, "labels"),
        (pasted, "masks"),
    ):
        torch.testing.assert_close(mine, theirs[name], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("backbone", BACKBONES + NEWER_BACKBONES)
def test_every_norm_that_can_be_is_folded_and_the_model_itself_stays_as_it_was(backbone):
    model = build(backbone)
    before = copy.deepcopy(model.state_dict())
    fast = copy_for_inference(model, CPU)
    norms = [name for name, module in model.named_modules() if hasattr(module, "running_mean")]
    assert len(norms) == FOLDED[backbone]
    assert not [name for name, module in fast.named_modules() if hasattr(module, "running_mean")]
    after = model.state_dict()
    assert [*before] == [*after]
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.requires_grad is False for parameter in fast.parameters())


@pytest.mark.skipif(not torch.backends.nnpack.is_available(), reason="this torch was built without NNPACK")
def test_a_resnets_shortcuts_are_all_taken_on_a_cpu():
    fast = copy_for_inference(build("resnet50"), CPU)
    heads = fast.roi_heads
    assert type(heads.box_roi_pool) is type(heads.mask_roi_pool) is GatheringRoIAlign
    parts = {name.partition(".")[0] for name, each in fast.named_modules() if type(each) is TransformedConv2d}
    assert parts == {"backbone", "rpn", "roi_heads"}
    assert sum(type(each) is TransformedConv2d for each in fast.modules()) == 3 + 5 + 2 + 4 + 1 + 4


def test_the_box_head_convolves_only_with_instructions_that_make_it_pay():
    assert convolves_whole_regions("AVX512")
    assert not any(map(convolves_whole_regions, ("DEFAULT", "NO AVX", "AVX2", "NEON", "SVE256")))


def test_masks_are_made_for_wanted_scores_alone():
    model = build("small")
    everything = run(model, draw())[0][0]
    seen = []
    model.roi_heads.mask_head.register_forward_hook(
        lambda _module, inputs, _output: seen.append(len(inputs[0]))
    )
    floor = float(everything.scores.median())
    some = run(model, draw(), min_score=floor)[0][0]
    wanted = everything.scores >= floor
    assert seen == [int(wanted.sum())]
    assert 0 < seen[0] < len(wanted)
    for name in ("boxes", "scores", "labels", "masks"):
        torch.testing.assert_close(
            getattr(some, name), getattr(everything, name)[wanted], rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("backbone", ["small", "resnet50"])
def test_nothing_found_anywhere_is_no_regions(backbone):
    fast = copy_for_inference(build(backbone), CPU)
    regions, means, is_finite = run(fast, draw(2), min_score=1.1)
    side = 2 * fast.roi_heads.mask_roi_pool.output_size[0]
    assert [each.masks.shape for each in regions] == [(0, side, side)] * 2
    assert means.shape == (2, 256)
    assert bool(is_finite)


@pytest.mark.parametrize(
    "part", ["backbone.body", "backbone.fpn", "rpn.head", "roi_heads.box_head", "roi_heads.mask_head"]
)
@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_numbers_that_are_not_finite_are_told_wherever_they_arise(part, number):
    model = build("small")
    with torch.no_grad():
        next(model.get_submodule(part).parameters()).fill_(number)
    assert not bool(run(copy_for_inference(model, CPU), draw())[2])
