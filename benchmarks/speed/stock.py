"""torchvision's own Mask R-CNN and what its users do with it: the reference.

No trained weights are at hand everywhere, and what a network costs hardly depends on them, except for how
many instances it finds and how ragged their masks are. So the weights are random, the score threshold is set
where the wanted number of instances passes, and the mask head draws blobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops.misc import FrozenBatchNorm2d

from maskloop.masks import Rle, encode_masks
from maskloop.settings.model_settings import ModelSettings

NUM_CLASSES = 90
"""As COCO's category ids count, without the background."""
_CANDIDATES_PER_DETECTION = 3
"""So many boxes pass the score threshold for each one kept, before overlaps are taken out."""


def make_stock_model(settings: ModelSettings, picture: NDArray[np.uint8]) -> MaskRCNN:
    """Return torchvision's ``maskrcnn_resnet50_fpn`` with random weights, in evaluation mode.

    The frozen norms get their statistics from the picture given.
    """
    torch.manual_seed(0)
    model = MaskRCNN(
        resnet_fpn_backbone(backbone_name="resnet50", weights=None),
        NUM_CLASSES + 1,
        min_size=settings.min_size_px,
        max_size=settings.max_size_px,
    ).eval()
    with torch.inference_mode():
        adopt_statistics(model, picture)
        _draw_blobs(model)
    return model


def adopt_statistics(model: MaskRCNN, picture: NDArray[np.uint8]) -> None:
    """Give the frozen norms the statistics they would have after training, or numbers grow without end."""

    def adopt(norm: Any, inputs: tuple[Tensor, ...]) -> None:
        norm.running_mean.copy_(inputs[0].mean(dim=(0, 2, 3)))
        norm.running_var.copy_(inputs[0].var(dim=(0, 2, 3)))

    norms = [module for module in model.modules() if isinstance(module, FrozenBatchNorm2d)]
    handles = [norm.register_forward_pre_hook(adopt) for norm in norms]
    images, _ = model.transform([to_float(picture)])
    model.backbone(images.tensors)
    for handle in handles:
        handle.remove()


def _draw_blobs(model: MaskRCNN) -> None:
    """Let the mask head's first channel start at 1 and blur into the zeros beyond the border, four times."""
    for index, layer in enumerate(model.roi_heads.mask_head):
        layer[0].weight[0] = 0.0
        layer[0].weight[0, 0] = 1.0 / 9.0 if index else 0.0
        layer[0].bias[0] = 0.0 if index else 1.0
    predictor = model.roi_heads.mask_predictor
    predictor.conv5_mask.weight[0] = 0.0
    predictor.conv5_mask.weight[:, 0] = 0.0
    predictor.conv5_mask.weight[0, 0] = 1.0
    predictor.conv5_mask.bias[0] = 0.0
    predictor.mask_fcn_logits.weight *= 0.1
    predictor.mask_fcn_logits.weight[:, 0] = 12.0
    predictor.mask_fcn_logits.bias[:] = -8.0


def let_find(model: MaskRCNN, count: int, picture: NDArray[np.uint8]) -> None:
    """Set the score threshold and the limit so that the model finds so many instances in the picture."""
    heads = model.roi_heads
    heads.detections_per_img = max(1, count)
    heads.score_thresh = 1.0
    if count:
        scores: list[Tensor] = []
        handle = heads.box_predictor.register_forward_hook(
            lambda _module, _inputs, output: scores.append(output[0].softmax(-1)[:, 1:].flatten())
        )
        run_stock(model, [picture])
        handle.remove()
        heads.score_thresh = float(scores[0].sort(descending=True).values[_CANDIDATES_PER_DETECTION * count])


def to_float(picture: NDArray[np.uint8]) -> Tensor:
    """Return a picture as torchvision wants it: float32 (3, H, W), 0..1."""
    return torch.from_numpy(picture).permute(2, 0, 1).float().div(255.0)


def run_stock(model: MaskRCNN, pictures: Sequence[NDArray[np.uint8]]) -> list[dict[str, Tensor]]:
    """Return what the model says; masks are float32 (N, 1, H, W)."""
    device = next(model.parameters()).device
    with torch.inference_mode():
        answers: list[dict[str, Tensor]] = model([to_float(picture).to(device) for picture in pictures])
    return answers


def to_rles(answers: Sequence[dict[str, Tensor]]) -> list[tuple[Rle, ...]]:
    """Cut stock masks at 0.5 and encode them, which is how they are stored and sent."""
    return [encode_masks((answer["masks"][:, 0] > 0.5).cpu().numpy()) for answer in answers]


def draw_picture(height_px: int, width_px: int, *, seed: int) -> NDArray[np.uint8]:
    """Return a picture of coloured patches of 16 px."""
    random = np.random.default_rng(seed)
    patches = random.integers(0, 256, (-(-height_px // 16), -(-width_px // 16), 3), dtype=np.uint8)
    return np.ascontiguousarray(patches.repeat(16, axis=0).repeat(16, axis=1)[:height_px, :width_px])
