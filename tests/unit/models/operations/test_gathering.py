import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign

from models.operations.gathering import GatheringRoIAlign, choose_levels

SIZE_PX = (128, 160)


def draw_maps(strides=(4, 8, 16, 32), pictures=2, channels=5):
    random = torch.Generator().manual_seed(0)
    return {
        str(level): torch.randn(
            pictures, channels, SIZE_PX[0] // stride, SIZE_PX[1] // stride, generator=random
        )
        for level, stride in enumerate(strides)
    }


def draw_boxes(count, seed):
    random = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, 2, generator=random) * torch.tensor([SIZE_PX[1], SIZE_PX[0]])
    return torch.cat([corners.min(dim=1).values, corners.max(dim=1).values], dim=1)


def cut_both_ways(maps, boxes, bins=7, ratio=2):
    ways = (MultiScaleRoIAlign, GatheringRoIAlign)
    return [way([*maps], bins, ratio)(maps, boxes, [SIZE_PX] * len(boxes)) for way in ways]


@pytest.mark.parametrize("strides", [(4,), (4, 8, 16, 32)])
@pytest.mark.parametrize(("bins", "ratio"), [(7, 2), (14, 2), (3, 1), (2, 4)])
def test_regions_of_all_levels_and_pictures_are_those_of_torchvision(strides, bins, ratio):
    boxes = [draw_boxes(40, seed=1), draw_boxes(3, seed=2)]
    theirs, ours = cut_both_ways(draw_maps(strides), boxes, bins, ratio)
    assert ours.shape == (43, 5, bins, bins)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_regions_at_and_beyond_the_border_are_those_of_torchvision():
    height, width = SIZE_PX
    boxes = torch.tensor(
        [
            [0.0, 0.0, width, height],
            [width - 1.0, height - 1.0, width, height],
            [0.0, 0.0, 0.0, 0.0],
            [-20.0, -20.0, 10.0, 10.0],
            [width - 10.0, height - 10.0, width + 40.0, height + 40.0],
            [500.0, 500.0, 600.0, 600.0],
        ]
    )
    theirs, ours = cut_both_ways(draw_maps(pictures=1), [boxes])
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert (ours[5] == 0).all()


def test_maps_with_channels_last_are_read_as_they_lie():
    maps = draw_maps()
    last = {name: each.contiguous(memory_format=torch.channels_last) for name, each in maps.items()}
    boxes = [draw_boxes(5, seed=1), draw_boxes(5, seed=2)]
    assert torch.equal(cut_both_ways(last, boxes)[1], cut_both_ways(maps, boxes)[1])


def test_no_regions_are_none_even_in_all_pictures():
    maps, nothing = draw_maps(), torch.zeros(0, 4)
    assert cut_both_ways(maps, [nothing, nothing])[1].shape == (0, 5, 7, 7)
    some = draw_boxes(4, seed=3)
    theirs, ours = cut_both_ways(maps, [nothing, some])
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_scale_follows_each_call_and_not_the_first_one():
    align = GatheringRoIAlign(["0"], 7, 2)
    boxes = [draw_boxes(4, seed=1)]
    align({"0": torch.randn(1, 5, 4, 4)}, boxes, [(128, 128)])
    theirs, _ = cut_both_ways(draw_maps((4,), pictures=1), boxes)
    torch.testing.assert_close(
        align(draw_maps((4,), pictures=1), boxes, [SIZE_PX]), theirs, rtol=1e-4, atol=1e-4
    )


def test_a_region_without_area_comes_from_the_finest_map():
    boxes = torch.tensor([[5.0, 5.0, 5.0, 5.0], [0.0, 0.0, 112.0, 112.0], [0.0, 0.0, 900.0, 900.0]])
    assert choose_levels(boxes, [4, 8, 16, 32]).tolist() == [0, 1, 3]


def test_the_way_back_reaches_every_map_as_in_torchvision():
    of_all_maps = torch.tensor([[5.0, 5, 60, 60], [9, 9, 150, 120], [0, 0, 300, 300], [-9, -9, 700, 700]])
    boxes = [torch.cat([of_all_maps, draw_boxes(36, seed=1)]), draw_boxes(3, seed=2)]
    weigh = torch.randn(43, 5, 7, 7, generator=torch.Generator().manual_seed(4))
    gradients = []
    for way in (MultiScaleRoIAlign, GatheringRoIAlign):
        maps = {name: each.requires_grad_() for name, each in draw_maps().items()}
        (way([*maps], 7, 2)(maps, boxes, [SIZE_PX] * 2) * weigh).sum().backward()
        gradients.append([each.grad for each in maps.values()])
    for theirs, ours in zip(*gradients, strict=True):
        assert theirs.abs().max() > 0
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_maps_in_bfloat16_are_summed_in_float32_and_come_back_in_bfloat16():
    maps = {name: each.bfloat16() for name, each in draw_maps().items()}
    exact = {name: each.float() for name, each in maps.items()}
    boxes = [draw_boxes(5, seed=1), draw_boxes(5, seed=2)]
    align = GatheringRoIAlign([*maps], 7, 2)
    rounded, expected = (align(each, boxes, [SIZE_PX] * 2) for each in (maps, exact))
    assert rounded.dtype == torch.bfloat16
    assert torch.equal(rounded, expected.bfloat16())
