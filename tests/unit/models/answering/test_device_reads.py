"""How often a prediction and a training step ask the device for a number: each time, a GPU stands still."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models.detection import MaskRCNN

from maskloop.settings.model_settings import ModelSettings
from models.answering.inference import copy_for_inference, find_regions
from models.network.build import build_model
from models.operations.crops import MaskCrop
from models.operations.mask_targets import make_target

CPU: Final = torch.device("cpu")
_READING: Final = {"tolist", "item", "__bool__", "__int__", "__float__", "__index__", "numpy"}
_SIZED_BY_VALUES: Final = {"aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::bincount"}


class _Reads(TorchFunctionMode):
    """Counts the methods that bring a tensor's values to Python."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in _READING:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


class _Sized(TorchDispatchMode):
    """Counts the operations whose result has a size that only the values tell."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self._counts = counts

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        indices = args[1] if name == "aten::index" else ()
        if name in _SIZED_BY_VALUES or any(each is not None and each.dtype == torch.bool for each in indices):
            self._counts[name] += 1
        return func(*args, **(kwargs or {}))


def reads_of(run: Callable[[], object]) -> Mapping[str, int]:
    with _Reads() as reads, _Sized(reads.counts):
        run()
    return dict(reads.counts)


@pytest.fixture
def crowded() -> MaskRCNN:
    """A network that finds something of every class everywhere."""
    torch.manual_seed(0)
    settings = ModelSettings(
        backbone="small",
        weights="scratch",
        min_size_px=64,
        max_size_px=64,
        test_proposals=100,
        max_detections=20,
    )
    model = build_model(settings, num_classes=7)
    model.roi_heads.score_thresh = 0.0
    return model


@pytest.mark.parametrize("min_score", [0.0, 0.1])
def test_a_prediction_reads_from_the_device_as_often_for_eight_pictures_as_for_one(
    crowded: MaskRCNN, min_score: float
) -> None:
    model = copy_for_inference(crowded, CPU)
    random = np.random.default_rng(0)
    pictures = torch.from_numpy(random.random((8, 3, 64, 64), dtype=np.float32))

    def predict(count: int) -> int:
        with torch.no_grad():
            regions, _, _ = find_regions(model, pictures[:count], min_score)
        return sum(len(own.scores) for own in regions)

    assert predict(8) > 0
    alone, together = (reads_of(partial(predict, count)) for count in (1, 8))
    assert together == alone
    assert sum(together.values()) == (4 if min_score == 0.0 else 5)


def test_a_training_step_reads_once_for_each_picture_and_eight_times_besides(crowded: MaskRCNN) -> None:
    """Those for each picture are torchvision's own look for boxes without an area."""

    def reads_with(count: int) -> int:
        square = make_target(
            [MaskCrop(8, 8, np.ones((24, 24), bool))], np.array([1]), height_px=64, width_px=64
        )
        images = [torch.zeros(3, 64, 64, dtype=torch.uint8)] * count
        return sum(reads_of(lambda: crowded(images, [square] * count)).values())

    one, four = reads_with(1), reads_with(4)
    assert four - one == 3
    assert one == 9
