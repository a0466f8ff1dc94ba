"""A step with our parts learns what torchvision's own learns, and does it the short way.

The stock model is torchvision's from its first part to its last, with the same weights; it gets float
pictures and dense masks. Both draw the same regions: the stock samplers are told to draw as ours do.
"""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models.detection import roi_heads

from maskloop.settings.model_settings import ModelSettings
from models.loading.batches import TrainingBatch
from models.network.assignment import draw_balanced, pad_rows
from models.network.build import build_model, build_stock_model
from models.network.fast_parts import ALL_FAST_PARTS, feed
from models.network.heads import CropHeads
from models.network.proposals import SparseProposals
from models.operations.convolutions import FoldedNorm, LeanConv2d
from models.operations.crops import MaskCrop
from models.operations.mask_targets import make_target

SIDE_PX = 64
SIZES = [(64, 90), (40, 52), (64, 64)]


def make_settings(backbone, **changes):
    return ModelSettings(
        **{
            "backbone": backbone, "weights": "scratch", "min_size_px": SIDE_PX, "max_size_px": 2 * SIDE_PX,
            "fpn_channels": 16, "box_head_width": 16, "mask_head_layers": (8,), "mask_head_width": 8,
            "mask_roi_size_px": 7, "train_proposals_before_nms": 60, "train_proposals": 40,
            "rois_per_picture": 24, "anchors_per_picture": 32, **changes,
        }
    )  # fmt: skip


def draw_crop(random, height_px, width_px):
    height, width = random.integers(8, height_px // 2), random.integers(8, width_px // 2)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    top, left = random.integers(0, height_px - height), random.integers(0, width_px - width)
    return MaskCrop(int(left), int(top), x**2 + y**2 <= 1.0)


def draw_batch(counts, sizes=SIZES, seed=0):
    """Pictures uint8 (3, H, W) with so many instances each, as our network is given them."""
    random = np.random.default_rng(seed)
    pictures, targets = [], []
    for (height, width), count in zip(sizes, counts, strict=True):
        pictures.append(torch.from_numpy(random.integers(0, 256, (3, height, width), dtype=np.uint8)))
        crops = [draw_crop(random, height, width) for _ in range(count)]
        labels = random.integers(1, 4, count)
        targets.append(make_target(crops, labels, height_px=height, width_px=width))
    return pictures, targets


def to_dense(target):
    """The same target as torchvision wants it."""
    height, width = target["size_px"].tolist()
    masks = torch.zeros(len(target["labels"]), height, width, dtype=torch.uint8)
    pixels = target["crop_pixels"]
    for mask, (left, top, right, bottom) in zip(masks, target["crop_boxes"].tolist(), strict=True):
        area = (right - left) * (bottom - top)
        mask[top:bottom, left:right], pixels = pixels[:area].view(bottom - top, right - left), pixels[area:]
    return {"boxes": target["boxes"].double(), "labels": target["labels"], "masks": masks}


class DrawAlike:
    """Takes the place of torchvision's sampler and draws what ours draws."""

    def __init__(self, sampler):
        self._numbers = sampler.batch_size_per_image, sampler.positive_fraction

    def __call__(self, labels):
        padded, is_real = pad_rows([each.long() for each in labels])
        drawn, is_drawn = draw_balanced(padded.masked_fill(~is_real, -1), *self._numbers)
        chosen = torch.zeros_like(padded).scatter_(1, drawn, is_drawn.long())
        masks = [own[: len(each)] for own, each in zip(chosen, labels, strict=True)]
        positive = [mask * (each >= 1) for mask, each in zip(masks, labels, strict=True)]
        return positive, [mask * (each == 0) for mask, each in zip(masks, labels, strict=True)]


def make_pair(settings, fast_parts=ALL_FAST_PARTS):
    """Stock and ours, float64, with the same weights and statistics."""
    torch.manual_seed(0)
    stock = build_stock_model(settings, num_classes=3).double()
    for part in (stock.rpn, stock.roi_heads):
        part.fg_bg_sampler = DrawAlike(part.fg_bg_sampler)
    for name, buffer in stock.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.8, 1.5)
        elif name.endswith("running_mean"):
            buffer.uniform_(-0.2, 0.2)
    ours = build_model(settings, num_classes=3, pretrained=False, fast_parts=fast_parts).double()
    ours.load_state_dict(stock.state_dict())
    for part, kind in ((ours.rpn, SparseProposals), (ours.roi_heads, CropHeads)):
        if not isinstance(part, kind):
            part.fg_bg_sampler = DrawAlike(part.fg_bg_sampler)
    mean, spread = (
        torch.tensor(each, dtype=torch.float64).view(1, 3, 1, 1)
        for each in (stock.transform.image_mean, stock.transform.image_std)
    )
    ours.transform._scale, ours.transform._shift = 1.0 / (255.0 * spread), -mean / spread
    for model in (stock, ours):
        model.transform.torch_choice = lambda sizes: sizes[0]  # without drawing a random number
    return stock.train(), ours.train()


def assert_same(ours, theirs, name):
    """torchvision sums this one loss up in float32, whatever it is given."""
    exact = 1e-6 if theirs.dtype == torch.float32 else 1e-10
    torch.testing.assert_close(ours.double(), theirs.double(), rtol=exact, atol=1e-12, msg=name)


def learn(model, pictures, targets):
    torch.manual_seed(5)
    model.zero_grad(set_to_none=True)
    losses = model(pictures, targets)
    sum(losses.values()).backward()
    gradients = {name: each.grad for name, each in model.named_parameters()}
    return {name: loss.detach() for name, loss in losses.items()}, gradients


@pytest.mark.parametrize(
    ("backbone", "changes"),
    [
        ("resnet18", {}),
        ("resnet18", {"norm": "batch"}),
        ("resnet18", {"weights": "imagenet", "trainable_layers": 2}),
        ("mobilenet_v3", {"norm": "group"}),
        ("small", {}),
        ("resnet18", {"class_agnostic_masks": True}),
        ("small", {"mask_roi_size_px": 28}),
        ("efficientnet_b0", {}),
        ("convnext_tiny", {}),
        ("swin_t", {}),
    ],
    ids=str,
)
@pytest.mark.parametrize("counts", [(3, 1, 4), (2, 0, 5)], ids=str)
def test_losses_and_gradients_are_those_of_torchvision(backbone, changes, counts):
    stock, ours = make_pair(make_settings(backbone, **changes))
    pictures, targets = draw_batch(counts)
    theirs = learn(stock, [each.double() / 255 for each in pictures], [to_dense(each) for each in targets])
    mine = learn(ours, pictures, [{**each, "boxes": each["boxes"].double()} for each in targets])
    assert mine[0].keys() == theirs[0].keys()
    assert mine[0]["loss_mask"] > 0
    for name, loss in theirs[0].items():
        assert_same(mine[0][name], loss, name)
    for name, gradient in theirs[1].items():
        assert (gradient is None) == (mine[1][name] is None), name
        if gradient is not None:
            torch.testing.assert_close(mine[1][name], gradient, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("part", ALL_FAST_PARTS)
@pytest.mark.parametrize("backbone", ["resnet18", "small"])
@pytest.mark.parametrize("counts", [(3, 1, 4), (2, 0, 5)], ids=str)
def test_a_step_without_any_one_fast_part_learns_the_same(part, backbone, counts):
    parts = set(ALL_FAST_PARTS) - {part}
    stock, ours = make_pair(make_settings(backbone, weights="imagenet"), parts)
    pictures, targets = draw_batch(counts)
    theirs = learn(stock, [each.double() / 255 for each in pictures], [to_dense(each) for each in targets])
    fed = feed(TrainingBatch(pictures, targets, ("", "", "")), parts)
    own_pictures = [each.double() / 255 for each in pictures] if part == "preparation" else fed.images
    mine = learn(ours, own_pictures, [{**each, "boxes": each["boxes"].double()} for each in fed.targets])
    for name, loss in theirs[0].items():
        assert_same(mine[0][name], loss, name)
    for name, gradient in theirs[1].items():
        if gradient is not None:
            torch.testing.assert_close(mine[1][name], gradient, rtol=1e-7, atol=1e-10)


def test_without_fast_parts_the_network_is_torchvisions_and_is_fed_as_it_wants():
    ours = build_model(make_settings("small"), num_classes=3, fast_parts=())
    stock = build_stock_model(make_settings("small"), num_classes=3)
    assert [type(each) for each in ours.modules()] == [type(each) for each in stock.modules()]
    pictures, targets = draw_batch((3, 0, 2))
    fed = feed(TrainingBatch(pictures, targets, ("", "", "")), ())
    for image, picture, target, wanted in zip(fed.images, pictures, fed.targets, targets, strict=True):
        assert torch.equal((image * 255).round().byte(), picture)
        assert torch.equal(target["masks"], to_dense(wanted)["masks"])
        assert set(target) == {"boxes", "labels", "masks"}


def test_after_a_short_run_both_have_the_same_weights_and_so_the_same_average_precision():
    pair = make_pair(make_settings("small", norm="batch"))
    runs = [(model, torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)) for model in pair]
    for step in range(8):
        pictures, targets = draw_batch((3, 1, 4), seed=step)
        floats = [each.double() / 255 for each in pictures]
        doubles = [{**each, "boxes": each["boxes"].double()} for each in targets]
        inputs = (floats, [to_dense(each) for each in targets]), (pictures, doubles)
        for (model, optimizer), given in zip(runs, inputs, strict=True):
            learn(model, *given)
            optimizer.step()
    stock, ours = pair
    for name, weight in stock.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], weight, rtol=1e-9, atol=1e-11, msg=name)


def test_a_batch_without_any_instance_has_finite_losses_and_gradients():
    stock, ours = make_pair(make_settings("resnet18"))
    pictures, targets = draw_batch((0, 0, 0))
    theirs = learn(stock, [each.double() / 255 for each in pictures], [to_dense(each) for each in targets])
    mine = learn(ours, pictures, [{**each, "boxes": each["boxes"].double()} for each in targets])
    for name, loss in theirs[0].items():
        assert_same(mine[0][name], loss, name)
    assert all(each.isfinite().all() for each in mine[1].values() if each is not None)


def test_names_and_shapes_of_the_weights_are_torchvisions():
    settings = make_settings("resnet50_v2")
    with torch.device("meta"):
        stock, ours = (
            build_stock_model(settings, num_classes=3),
            build_model(settings, num_classes=3, pretrained=False),
        )
    shapes = [[(name, each.shape) for name, each in model.state_dict().items()] for model in (stock, ours)]
    assert shapes[0] == shapes[1]


class _Largest(TorchDispatchMode):
    """Remembers how many numbers the largest result of any operation has."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple | list) else [result]:
            if isinstance(each, torch.Tensor):
                self.numbers = max(self.numbers, each.numel())
        return result


def test_no_step_makes_dense_masks(monkeypatch):
    """Memory grows with crops, not with instances times the picture; resized or not."""

    def refuse(*_args):
        raise AssertionError("a dense mask was asked for")

    monkeypatch.setattr(roi_heads, "maskrcnn_loss", refuse)
    monkeypatch.setattr(roi_heads, "project_masks_on_boxes", refuse)
    model = build_model(make_settings("small", anchor_aspect_ratios=(1.0,)), num_classes=3).train()
    num_instances, sizes = 150, [(64, 64), (128, 128)]
    pictures, _ = draw_batch((0, 0), sizes)
    crops = [MaskCrop(index % 60, index % 50, np.ones((4, 4), bool)) for index in range(num_instances)]
    targets = [
        make_target(crops, np.ones(num_instances, np.int64), height_px=height, width_px=width)
        for height, width in sizes
    ]
    with _Largest() as largest:
        sum(model(pictures, targets).values()).backward()
    assert largest.numbers < num_instances * SIDE_PX**2 / 2


def test_a_network_with_frozen_norms_is_built_of_folded_ones():
    model = build_model(make_settings("resnet18"), num_classes=3)
    norms = [each for each in model.modules() if isinstance(each, FoldedNorm)]
    leading = [each for each in model.modules() if isinstance(each, LeanConv2d) and each._norm is not None]
    assert len(norms) == len(leading) == 20
    assert {id(each._norm) for each in leading} == {id(each) for each in norms}
