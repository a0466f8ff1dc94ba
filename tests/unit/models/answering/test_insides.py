"""What the network's features are like inside masks."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch
from torchvision.models.detection import MaskRCNN

from evaluation.instances import NUM_INSIDES
from models.answering.insides import describe_insides
from models.answering.predictor import TorchPredictor


def regions_of(inside: torch.Tensor, outside: float) -> torch.Tensor:
    """Return one region (1, C, 14, 14) whose left half has the features ``inside``, (C,)."""
    region = torch.full((1, len(inside), 14, 14), outside)
    region[..., :7] = inside[None, :, None, None]
    return region


def left_half() -> torch.Tensor:
    mask = torch.zeros(1, 28, 28)
    mask[..., :14] = 1.0
    return mask


def test_what_lies_outside_the_mask_does_not_count() -> None:
    inside = torch.linspace(-1.0, 1.0, 48)
    one, other = (describe_insides(regions_of(inside, each), left_half()) for each in (0.0, 99.0))
    torch.testing.assert_close(one, other)
    whole = describe_insides(regions_of(inside, 99.0), torch.ones(1, 28, 28))
    assert not torch.allclose(one, whole)


def test_each_number_is_a_sum_of_channels_with_equal_weights_and_signs_that_never_change() -> None:
    """By one channel at a time, written down once: 1 is plus and 0 minus."""
    columns = [describe_insides(regions_of(row, 0.0), left_half())[0] for row in torch.eye(8)]
    signs = torch.stack(columns)
    assert signs.abs().unique().tolist() == pytest.approx([1 / 8**0.5])
    assert ["".join(str(int(one > 0)) for one in row) for row in signs] == [
        "10110111",
        "10111011",
        "00101101",
        "00101111",
        "00011000",
        "01000111",
        "01001010",
        "11010101",
    ]
    mixed = torch.arange(8.0)
    torch.testing.assert_close(describe_insides(regions_of(mixed, 0.0), left_half())[0], mixed @ signs)


def test_no_instance_has_no_numbers_and_an_empty_mask_has_finite_ones() -> None:
    assert describe_insides(torch.zeros(0, 48, 14, 14), torch.zeros(0, 28, 28)).shape == (0, NUM_INSIDES)
    assert describe_insides(torch.ones(1, 48, 14, 14), torch.zeros(1, 28, 28)).isfinite().all()


def test_half_precision_is_described_in_single_precision() -> None:
    region = regions_of(torch.linspace(0.0, 1.0, 16), 0.0)
    found = describe_insides(region.bfloat16(), left_half().bfloat16())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, describe_insides(region, left_half()), rtol=0.02, atol=0.02)


def test_each_instance_of_an_answer_has_its_numbers_with_and_without_shortcuts(
    tiny_model: MaskRCNN, shapes: ModuleType
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    answers = [
        TorchPredictor(
            tiny_model, class_names=shapes.CLASS_NAMES, device=torch.device("cpu"), shortcuts=shortcuts
        ).predict([picture])[0]
        for shortcuts in (True, False)
    ]
    fast, plain = (answer.detections.insides for answer in answers)
    assert fast is not None
    assert plain is not None
    assert len(fast) > 0
    assert fast.shape == (len(answers[0].detections), NUM_INSIDES)
    assert fast.dtype == np.float32
    np.testing.assert_allclose(fast, plain, rtol=1e-3, atol=1e-3)
