"""The bodies a Mask R-CNN can stand on, each with a feature pyramid on top.

A backbone maps pictures (B, 3, H, W) to an ordered dictionary of feature maps, finest first, all with
`ModelSettings.fpn_channels` channels.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Final

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.misc import Conv2dNormActivation, FrozenBatchNorm2d

from maskloop.settings.model_settings import ModelSettings
from maskloop.settings.network_rules import HAVE_OWN_NORMS, check_network, default_anchor_sizes_px, refuse

NormLayer = Callable[[int], nn.Module]
_SMALL_CHANNELS: Final = (32, 64, 96)
SMALL_FINEST_STRIDE_PX: Final = 4
_ASKED_SIDE_PX: Final = 256


_TORCHVISION_NAMES: Final = {
    "resnet50_v2": "resnet50",
    "resnext50": "resnext50_32x4d",
    "resnext101": "resnext101_32x8d",
    "wide_resnet50": "wide_resnet50_2",
}


@dataclass(frozen=True)
class Backbone:
    """A body with its pyramid, and what the rest of the network must know about it.

    Attributes:
        module: Maps (B, 3, H, W) to the pyramid's maps; has ``out_channels``.
        roi_levels: Names of the maps that regions are cut from, finest first.
        anchor_sizes_px: Default anchor sizes, one tuple per map, finest first.
        stages: Each stage's prefixes of parameter names below ``module.body``, last stage first;
            `ModelSettings.trainable_layers` counts along this.
    """

    module: Any
    roi_levels: tuple[str, ...]
    anchor_sizes_px: tuple[tuple[int, ...], ...]
    stages: tuple[tuple[str, ...], ...]

    def freeze_all_but(self, trainable_layers: int) -> None:
        """Freeze the body except its last ``trainable_layers`` stages; the pyramid is always trained."""
        trained = tuple(prefix for stage in self.stages[:trainable_layers] for prefix in stage)
        for name, parameter in self.module.body.named_parameters():
            parameter.requires_grad_(name.startswith(trained))


def norm_layer(kind: str) -> NormLayer:
    """Return the constructor of a normalisation; groups are 32 or the largest common divisor with it."""
    if kind == "group":
        return lambda channels: nn.GroupNorm(math.gcd(32, channels), channels)
    return nn.BatchNorm2d if kind == "batch" else FrozenBatchNorm2d


def build_backbone(settings: ModelSettings) -> Backbone:
    """Build the body and pyramid named in the settings, with random weights.

    Raises:
        ConfigurationError: if the settings contradict each other.
    """
    refuse(check_network(settings))
    if settings.backbone == "small":
        return _build_small(settings)
    if settings.backbone == "mobilenet_v3":
        return _build_mobilenet(settings)
    if settings.backbone in _BY_FEATURES:
        return _build_from_features(settings, _BY_FEATURES[settings.backbone])
    return _build_resnet(settings)


@dataclass(frozen=True)
class Pyramid:
    """Where a backbone's maps have their cells.

    Attributes:
        strides_px: How far apart cells lie, px of the resized picture, finest first.
        anchor_sizes_px: See `Backbone`.
    """

    strides_px: tuple[int, ...]
    anchor_sizes_px: tuple[tuple[int, ...], ...]


@cache  # building a ResNet-50 only to ask it takes a third of a second, and the answer never changes
def describe_pyramid(settings: ModelSettings) -> Pyramid:
    """Ask the backbone named in the settings for the shapes of its maps, without computing any."""
    with torch.device("meta"):
        backbone = build_backbone(settings)
        backbone.module.eval()
        maps = backbone.module(torch.empty(1, 3, _ASKED_SIDE_PX, _ASKED_SIDE_PX))
    strides = tuple(_ASKED_SIDE_PX // each.shape[-1] for each in maps.values())
    return Pyramid(strides, backbone.anchor_sizes_px)


class SmallBackbone(nn.Module):
    """Three stages (strides 2, 4, 8) made for pictures of 100-300 px on a CPU; maps at strides 4 and 8."""

    def __init__(self, fpn_channels: int, norm: NormLayer) -> None:
        super().__init__()
        first, second, third = _SMALL_CHANNELS
        self.body = nn.ModuleDict(
            {
                "stage1": _convolution(3, first, norm, stride=2),
                "stage2": _small_stage(first, second, norm),
                "stage3": _small_stage(second, third, norm),
            }
        )
        self.fpn = FeaturePyramidNetwork([second, third], fpn_channels)
        self.out_channels = fpn_channels

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Map (B, 3, H, W) to ``{"0": stride 4, "1": stride 8}``."""
        fine = self.body["stage2"](self.body["stage1"](pictures))
        maps: dict[str, Tensor] = self.fpn(OrderedDict([("0", fine), ("1", self.body["stage3"](fine))]))
        return maps


class _Residual(nn.Module):
    def __init__(self, channels: int, norm: NormLayer) -> None:
        super().__init__()
        self.inner = _convolution(channels, channels, norm)

    def forward(self, features: Tensor) -> Tensor:
        added: Tensor = features + self.inner(features)
        return added


def _convolution(in_channels: int, out_channels: int, norm: NormLayer, *, stride: int = 1) -> Any:
    return Conv2dNormActivation(in_channels, out_channels, 3, stride=stride, norm_layer=norm)


def _small_stage(in_channels: int, out_channels: int, norm: NormLayer) -> nn.Sequential:
    return nn.Sequential(
        _convolution(in_channels, out_channels, norm, stride=2), _Residual(out_channels, norm)
    )


def _build_small(settings: ModelSettings) -> Backbone:
    module = SmallBackbone(settings.fpn_channels, norm_layer(settings.norm))
    anchors_px = default_anchor_sizes_px(settings.backbone)
    return Backbone(module, ("0",), anchors_px, (("stage3.",), ("stage2.",), ("stage1.",)))


def _build_resnet(settings: ModelSettings) -> Backbone:
    name = _TORCHVISION_NAMES.get(settings.backbone, settings.backbone)
    norm = norm_layer(settings.norm)
    body = torchvision.models.get_model(name, weights=None, norm_layer=norm)
    widest = body.fc.in_features
    module = BackboneWithFPN(
        body,
        return_layers={f"layer{stage + 1}": str(stage) for stage in range(4)},
        in_channels_list=[widest // 8, widest // 4, widest // 2, widest],
        out_channels=settings.fpn_channels,
        norm_layer=norm if settings.backbone == "resnet50_v2" else None,
    )
    stages = (("layer4.",), ("layer3.",), ("layer2.",), ("layer1.",), ("conv1.", "bn1."))
    return Backbone(module, ("0", "1", "2", "3"), default_anchor_sizes_px(settings.backbone), stages)


class _ChannelsFirst(IntermediateLayerGetter):  # type: ignore[misc]
    """The stages of a body that computes (B, H, W, C), their maps turned to (B, C, H, W)."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = super().forward(x)
        return OrderedDict((name, each.permute(0, 3, 1, 2)) for name, each in maps.items())


@dataclass(frozen=True)
class _Features:
    """What of a torchvision classifier's ``features`` the pyramid stands on.

    Attributes:
        ends: Places of the last layers of strides 4, 8, 16 and 32.
        channels: How many maps come out of each of these.
        getter: Takes the stages' maps out.
    """

    ends: tuple[int, ...]
    channels: tuple[int, ...]
    getter: type[Any] = IntermediateLayerGetter


_BY_FEATURES: Final = {
    "efficientnet_b0": _Features((2, 3, 5, 7), (24, 40, 112, 320)),
    "convnext_tiny": _Features((1, 3, 5, 7), (96, 192, 384, 768)),
    "swin_t": _Features((1, 3, 5, 7), (96, 192, 384, 768), _ChannelsFirst),
}


def _build_from_features(settings: ModelSettings, kind: _Features) -> Backbone:
    norm: Any = {} if settings.backbone in HAVE_OWN_NORMS else {"norm_layer": norm_layer(settings.norm)}
    body = torchvision.models.get_model(settings.backbone, weights=None, **norm).features
    layers = {str(end): str(level) for level, end in enumerate(kind.ends)}
    module = BackboneWithFPN(body, layers, [*kind.channels], settings.fpn_channels)
    module.body = kind.getter(body, layers)
    ends = [end + 1 for end in kind.ends]
    stages = [tuple(f"{layer}." for layer in range(*some)) for some in pairwise([0, *ends])]
    return Backbone(
        module, ("0", "1", "2", "3"), default_anchor_sizes_px(settings.backbone), tuple(reversed(stages))
    )


def _build_mobilenet(settings: ModelSettings) -> Backbone:
    body = torchvision.models.mobilenet_v3_large(weights=None, norm_layer=norm_layer(settings.norm)).features
    last = len(body) - 1
    strided = [index for index, block in enumerate(body) if getattr(block, "_is_cn", False)]
    ends = [*strided[:3], last]  # strides 4, 8, 16, 32
    module = BackboneWithFPN(
        body,
        return_layers={str(end): str(level) for level, end in enumerate(ends)},
        in_channels_list=[body[end].out_channels for end in ends],
        out_channels=settings.fpn_channels,
    )
    starts = [0, *strided, last, last + 1]
    stages = [tuple(f"{block}." for block in range(start, end)) for start, end in pairwise(starts)]
    return Backbone(
        module, ("0", "1", "2", "3"), default_anchor_sizes_px(settings.backbone), tuple(reversed(stages))
    )
