import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import roi_align

from models.operations.regions import SmallMapRoIAlign, align_regions


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), bins=st.integers(1, 9), ratio=st.integers(1, 3))
def test_regions_and_their_gradients_are_those_of_torchvision(seed, bins, ratio):
    random = torch.Generator().manual_seed(seed)
    ours = torch.randn(9, 13, 3, generator=random, requires_grad=True)
    theirs = ours.detach().permute(2, 0, 1)[None].clone().requires_grad_()
    corners = torch.rand(6, 2, generator=random) * 16 - 3
    boxes = torch.cat([corners, corners + torch.rand(6, 2, generator=random) * 12], dim=1)
    mine = align_regions(ours, boxes, bins, ratio)
    reference = roi_align(theirs, [boxes], (bins, bins), 1.0, ratio)
    torch.testing.assert_close(mine, reference, atol=1e-5, rtol=1e-5)
    weight = torch.randn(mine.shape, generator=random)
    (mine * weight).sum().backward()
    (reference * weight).sum().backward()
    assert ours.grad is not None
    torch.testing.assert_close(ours.grad.permute(2, 0, 1)[None], theirs.grad, atol=1e-4, rtol=1e-4)


def test_regions_come_in_the_order_of_the_pictures_and_may_be_none():
    pool = SmallMapRoIAlign("0", 3, 1, stride_px=4)
    maps = {"0": torch.stack([torch.zeros(2, 8, 8), torch.ones(2, 8, 8)])}
    box = torch.tensor([[4.0, 4.0, 20.0, 20.0]])
    regions = pool(maps, [box, torch.cat([box, box])], [(32, 32), (32, 32)])
    assert regions.shape == (3, 2, 3, 3)
    assert regions.mean(dim=(1, 2, 3)).tolist() == [0.0, 1.0, 1.0]
    assert pool(maps, [box[:0], box[:0]], [(32, 32), (32, 32)]).shape == (0, 2, 3, 3)
