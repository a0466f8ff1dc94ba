import pytest
import torch
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from models.network.preparation import Preparation

MEAN, SPREAD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def draw(*sizes):
    random = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (3, *size), generator=random, dtype=torch.uint8) for size in sizes]


@pytest.mark.parametrize(
    "sizes",
    [[(64, 96)], [(64, 96), (96, 64), (70, 64)], [(40, 50), (64, 64)], [(64, 300), (130, 64)]],
    ids=str,
)
def test_whole_numbers_are_prepared_as_torchvision_prepares_floats(sizes):
    pictures = draw(*sizes)
    boxes = [torch.tensor([[1.0, 2.0, 30.0, 40.0]]) for _ in sizes]
    theirs, their_targets = GeneralizedRCNNTransform(64, 128, MEAN, SPREAD)(
        [each / 255 for each in pictures], [{"boxes": each} for each in boxes]
    )
    ours, our_targets = Preparation(64, 128)(pictures, [{"boxes": each} for each in boxes])
    assert ours.image_sizes == [tuple(size) for size in theirs.image_sizes]
    torch.testing.assert_close(ours.tensors, theirs.tensors, rtol=1e-5, atol=1e-5)
    for own, other in zip(our_targets, their_targets, strict=True):
        torch.testing.assert_close(own["boxes"], other["boxes"])
    assert ours.tensors.is_contiguous(memory_format=torch.channels_last)


def test_targets_are_not_changed_in_place():
    boxes = torch.tensor([[1.0, 2.0, 30.0, 40.0]])
    target = {"boxes": boxes}
    Preparation(64, 128)(draw((32, 32)), [target])
    assert target["boxes"] is boxes


def test_crops_stay_as_they_are_when_the_picture_is_resized():
    crops = {"crop_boxes": torch.tensor([[1, 2, 3, 4]]), "crop_pixels": torch.ones(4, dtype=torch.uint8)}
    _, (target,) = Preparation(64, 128)(draw((32, 32)), [{"boxes": torch.ones(1, 4), **crops}])
    assert target["boxes"].tolist() == [[2.0] * 4]
    assert all(target[name] is crops[name] for name in crops)


def test_nothing_of_it_is_stored_with_the_weights():
    assert Preparation(64, 128).state_dict() == {}
