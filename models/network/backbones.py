"""The bodies a Mask R-CNN can stand on, each with a feature pyramid on top.

A backbone maps pictures (B, 3, H, W) to an ordered dictionary of feature maps, finest first, all with
`ModelSettings.fpn_channels` channels.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import torchvision
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.misc import Conv2dNormActivation, FrozenBatchNorm2d

from maskloop.settings.backbones import BACKBONES, BackboneSpec, Family
from maskloop.settings.model_settings import ModelSettings
from maskloop.settings.network_rules import check_network, refuse

NormLayer = Callable[[int], nn.Module]
_SMALL_CHANNELS: Final = (32, 64, 96)


@dataclass(frozen=True)
class Backbone:
    """A body with its pyramid, and what the rest of the network must know about it.

    Attributes:
        module: Maps (B, 3, H, W) to the pyramid's maps; has ``out_channels``.
        roi_levels: Names of the maps that regions are cut from, finest first.
        anchor_sizes_px: Default anchor sizes, one tuple for each map, finest first.
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
    spec = BACKBONES[settings.backbone]
    return BUILDERS[spec.family](settings, spec)


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


def _build_small(settings: ModelSettings, spec: BackboneSpec) -> Backbone:
    module = SmallBackbone(settings.fpn_channels, norm_layer(settings.norm))
    return _as_backbone(spec, module, [("stage1.",), ("stage2.",), ("stage3.",)])


def _build_resnet(settings: ModelSettings, spec: BackboneSpec) -> Backbone:
    norm = norm_layer(settings.norm)
    body = torchvision.models.get_model(spec.torchvision_name, weights=None, norm_layer=norm)
    widest = body.fc.in_features
    module = BackboneWithFPN(
        body,
        return_layers={f"layer{stage + 1}": str(stage) for stage in range(4)},
        in_channels_list=[widest // 8, widest // 4, widest // 2, widest],
        out_channels=settings.fpn_channels,
        norm_layer=norm if spec.has_v2_heads else None,
    )
    stages = [("conv1.", "bn1."), ("layer1.",), ("layer2.",), ("layer3.",), ("layer4.",)]
    return _as_backbone(spec, module, stages)


class _ChannelsFirst(IntermediateLayerGetter):  # type: ignore[misc]
    """The stages of a body that computes (B, H, W, C), their maps turned to (B, C, H, W)."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = super().forward(x)
        return OrderedDict((name, each.permute(0, 3, 1, 2)) for name, each in maps.items())


def _build_from_features(settings: ModelSettings, spec: BackboneSpec) -> Backbone:
    norm: Any = {} if spec.has_own_norms else {"norm_layer": norm_layer(settings.norm)}
    body = torchvision.models.get_model(spec.torchvision_name, weights=None, **norm).features
    layers = {str(end): str(level) for level, end in enumerate(spec.feature_ends)}
    module = BackboneWithFPN(body, layers, [*spec.feature_channels], settings.fpn_channels)
    module.body = (_ChannelsFirst if spec.is_channels_last else IntermediateLayerGetter)(body, layers)
    return _as_backbone(spec, module, _stages([0, *(end + 1 for end in spec.feature_ends)]))


def _build_mobilenet(settings: ModelSettings, spec: BackboneSpec) -> Backbone:
    norm = norm_layer(settings.norm)
    body = torchvision.models.get_model(spec.torchvision_name, weights=None, norm_layer=norm).features
    last = len(body) - 1
    strided = [index for index, block in enumerate(body) if getattr(block, "_is_cn", False)]
    ends = [*strided[:3], last]  # strides 4, 8, 16, 32
    module = BackboneWithFPN(
        body,
        return_layers={str(end): str(level) for level, end in enumerate(ends)},
        in_channels_list=[body[end].out_channels for end in ends],
        out_channels=settings.fpn_channels,
    )
    return _as_backbone(spec, module, _stages([0, *strided, last, last + 1]))


def _stages(starts: Sequence[int]) -> list[tuple[str, ...]]:
    """Return the prefixes of numbered layers by stage, first stage first; the last start is the end."""
    return [tuple(f"{layer}." for layer in range(*some)) for some in pairwise(starts)]


def _as_backbone(spec: BackboneSpec, module: Any, stages: Sequence[tuple[str, ...]]) -> Backbone:
    levels = tuple(str(level) for level in range(spec.num_roi_levels))
    return Backbone(module, levels, spec.anchor_sizes_px, tuple(reversed(stages)))


BUILDERS: Final[Mapping[Family, Callable[[ModelSettings, BackboneSpec], Backbone]]] = {
    "small": _build_small,
    "resnet": _build_resnet,
    "mobilenet": _build_mobilenet,
    "features": _build_from_features,
}
