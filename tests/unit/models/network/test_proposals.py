import pytest
import torch
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import (
    AnchorGenerator,
    RegionProposalNetwork,
    RPNHead,
    concat_box_prediction_layers,
)

from models.network.proposals import SparseProposals, answer_at

SIZES = [(48, 64), (40, 60)]


def draw_maps(channels=6):
    random = torch.Generator().manual_seed(0)
    shapes = ((12, 16), (6, 8), (1, 2))
    return [
        torch.randn(2, channels, *shape, generator=random, dtype=torch.float64).requires_grad_()
        for shape in shapes
    ]


def make_head(depth, channels=6, kinds=3):
    torch.manual_seed(1)
    head = RPNHead(channels, kinds, conv_depth=depth).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return head


def draw_anchors(maps, kinds=3, count=40):
    total = sum(each.shape[2] * each.shape[3] * kinds for each in maps)
    drawn = torch.randint(0, total, (2, count), generator=torch.Generator().manual_seed(2))
    drawn[0, :4] = torch.tensor([0, total - 1, 12 * 16 * 3 - 1, 12 * 16 * 3])  # corners of maps
    return drawn


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("depth", [1, 2])
def test_the_answer_for_single_anchors_and_its_gradient_are_those_of_the_whole(depth, layout):
    maps, head = draw_maps(), make_head(depth)
    drawn = draw_anchors(maps)
    laid_out = [each.contiguous(memory_format=layout) for each in maps]
    found = answer_at(head, laid_out, drawn)
    wanted = [*maps, *head.parameters()]
    weights = [torch.randn_like(each) for each in found]
    ours = torch.autograd.grad(
        torch.stack([(a * b).sum() for a, b in zip(found, weights, strict=True)]).sum(), wanted
    )
    objectness, deltas = concat_box_prediction_layers(*map(list, head(laid_out)))
    everywhere = objectness.view(2, -1), deltas.view(2, -1, 4)
    theirs = [
        everywhere[0].gather(1, drawn),
        everywhere[1].gather(1, drawn[:, :, None].expand(-1, -1, 4)),
    ]
    for a, b in zip(found, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    exact = torch.autograd.grad(sum((a * b).sum() for a, b in zip(theirs, weights, strict=True)), wanted)
    for a, b in zip(ours, exact, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("before_nms", [10, 1000])
def test_proposals_are_those_of_torchvision(before_nms):
    maps = draw_maps()
    limits = {"training": before_nms, "testing": before_nms}, {"training": 25, "testing": 25}
    anchors = AnchorGenerator(((8,), (16,), (32,)), ((0.5, 1.0, 2.0),) * 3)
    stock = RegionProposalNetwork(anchors, make_head(1), 0.7, 0.3, 16, 0.5, *limits, nms_thresh=0.7)
    images = ImageList(torch.zeros(2, 3, 48, 64, dtype=torch.float64), SIZES)
    features = {str(level): each for level, each in enumerate(maps)}
    targets = [{"boxes": torch.tensor([[4.0, 4.0, 20.0, 24.0]])}] * 2
    theirs, _ = stock.train()(images, features, targets)
    ours, losses = SparseProposals.like(stock).train()(images, features, targets)
    for a, b in zip(ours, theirs, strict=True):
        assert len(a) == 25 or before_nms == 10
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    assert all(loss.requires_grad for loss in losses.values())
    assert not any(each.requires_grad for each in ours)


def test_the_loss_of_a_step_does_not_keep_the_answers_for_all_anchors():
    """No tensor of the head's dense answer may be waiting for a gradient."""
    maps, head = draw_maps(), make_head(1)
    anchors = AnchorGenerator(((8,), (16,), (32,)), ((0.5, 1.0, 2.0),) * 3)
    limits = {"training": 50, "testing": 50}
    rpn = SparseProposals(anchors, head, 0.7, 0.3, 16, 0.5, limits, limits, 0.7)
    images = ImageList(torch.zeros(2, 3, 48, 64, dtype=torch.float64), SIZES)
    dense = []
    handle = head.register_forward_hook(lambda _module, _inputs, output: dense.extend(output[0] + output[1]))
    features = {str(level): each for level, each in enumerate(maps)}
    rpn(images, features, [{"boxes": torch.tensor([[4.0, 4.0, 20.0, 24.0]])}] * 2)
    handle.remove()
    assert len(dense) == 6
    assert not any(each.requires_grad for each in dense)
