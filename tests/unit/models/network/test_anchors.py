import torch
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import AnchorGenerator

from models.network import anchors
from models.network.anchors import CachedAnchors

KINDS = (((9,), (17,)), ((0.5, 1.0),) * 2)


def make_input(height=32, width=64, pictures=3, dtype=torch.float32):
    maps = [torch.zeros(pictures, 4, height // stride, width // stride, dtype=dtype) for stride in (4, 8)]
    images = torch.zeros(pictures, 3, height, width, dtype=dtype)
    return ImageList(images, [(height, width)] * pictures), maps


def test_anchors_are_those_of_torchvision_for_every_size():
    cached = CachedAnchors(*KINDS)
    for size in ((32, 64), (64, 32), (32, 64)):
        for ours, theirs in zip(
            cached(*make_input(*size)), AnchorGenerator(*KINDS)(*make_input(*size)), strict=True
        ):
            assert torch.equal(ours, theirs)


def test_anchors_of_a_size_are_made_once():
    cached = CachedAnchors(*KINDS)
    first, again = cached(*make_input()), cached(*make_input(pictures=2))
    assert len(again) == 2
    assert all(each is first[0] for each in [*first, *again])


def test_only_so_many_sizes_are_kept():
    cached = CachedAnchors(*KINDS)
    for step in range(1, 30):
        cached(*make_input(8 * step))
    assert len(cached._kept) <= anchors._SIZES_KEPT


def test_anchors_of_half_precision_maps_are_exact():
    exact = CachedAnchors(*KINDS)(*make_input(800, 1344))[0]
    half = CachedAnchors(*KINDS)(*make_input(800, 1344, dtype=torch.bfloat16))[0]
    assert torch.equal(half, exact)
    assert CachedAnchors(*KINDS)(*make_input(dtype=torch.float64))[0].dtype == torch.float64


def test_anchors_of_a_prediction_serve_a_training():
    cached = CachedAnchors(*KINDS)
    with torch.inference_mode():
        cached(*make_input())
    weight = torch.ones(4, requires_grad=True)
    (cached(*make_input())[0] * weight).sum().backward()
    assert weight.grad is not None


def test_anchors_are_no_part_of_the_weights():
    cached = CachedAnchors(*KINDS)
    cached(*make_input())
    assert cached.state_dict() == {}
