"""The backbones there are: one row each, with everything that is known without building one.

A new backbone of a known family is a row here; a new family is also a builder in `models.network.backbones`.
Settings, their rules, first weights and anchors follow from the row; tests name what pages must say of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import AfterValidator

Family = Literal["small", "resnet", "mobilenet", "features"]


@dataclass(frozen=True)
class BackboneSpec:
    """What is known of a backbone.

    Attributes:
        name: In settings and manifests.
        family: Names its builder.
        torchvision_name: The classifier whose body it is; empty for our own.
        million_parameters: Of the body, the pyramid not counted.
        use_it: When, as a person chooses.
        imagenet_weights: torchvision's name of the first weights of the body; None if there are none.
        coco_weights: The same of a whole network that fits.
        strides_px: How far apart the cells of each map lie, px of the resized picture, finest first.
        anchor_sizes_px: Where settings name none, one tuple for each map, finest first.
        num_roi_levels: Regions are cut from so many of the maps, the finest.
        has_own_norms: `model.norm` does not change its norms.
        has_v2_heads: Heads and pyramid are those of torchvision's second version, with norms.
        coco_norm_epsilon: Of the frozen norms the COCO weights were trained with, where not torch's own.
        computes_on_one_thread: Its operations are too short to be shared among cores.
        feature_ends: For the family ``features``: places of the last layers of strides 4, 8, 16 and 32.
        feature_channels: Channels that come out of each of these.
        is_channels_last: Its maps come out as (B, H, W, C).
    """

    name: str
    family: Family
    torchvision_name: str
    million_parameters: float
    use_it: str
    imagenet_weights: str | None = None
    coco_weights: str | None = None
    strides_px: tuple[int, ...] = (4, 8, 16, 32, 64)
    anchor_sizes_px: tuple[tuple[int, ...], ...] = ((32,), (64,), (128,), (256,), (512,))
    num_roi_levels: int = 4
    has_own_norms: bool = False
    has_v2_heads: bool = False
    coco_norm_epsilon: float | None = None
    computes_on_one_thread: bool = False
    feature_ends: tuple[int, ...] = ()
    feature_channels: tuple[int, ...] = ()
    is_channels_last: bool = False


_CPU: Final = "on a CPU"
_SMALL_GPU: Final = "on a CPU, or a small GPU"
_DEFAULT: Final = "by default; `coco` is worth more than any larger body"
_MANY: Final = "with many labelled pictures"
_MORE: Final = "with even more, and a GPU"

_SPECS: Final = (
    BackboneSpec(
        "small",
        "small",
        "",
        0.2,
        "for small pictures on a CPU",
        strides_px=(4, 8),
        anchor_sizes_px=((28,), (52,)),
        num_roi_levels=1,
        computes_on_one_thread=True,
    ),
    BackboneSpec(
        "mobilenet_v3",
        "mobilenet",
        "mobilenet_v3_large",
        2.9,
        _CPU,
        "MobileNet_V3_Large_Weights.IMAGENET1K_V2",
    ),
    BackboneSpec(
        "efficientnet_b0",
        "features",
        "efficientnet_b0",
        3.6,
        _CPU,
        "EfficientNet_B0_Weights.IMAGENET1K_V1",
        feature_ends=(2, 3, 5, 7),
        feature_channels=(24, 40, 112, 320),
    ),
    BackboneSpec("resnet18", "resnet", "resnet18", 11.2, _SMALL_GPU, "ResNet18_Weights.IMAGENET1K_V1"),
    BackboneSpec("resnet34", "resnet", "resnet34", 21.3, _SMALL_GPU, "ResNet34_Weights.IMAGENET1K_V1"),
    BackboneSpec(
        "resnet50",
        "resnet",
        "resnet50",
        23.5,
        _DEFAULT,
        "ResNet50_Weights.IMAGENET1K_V1",
        "MaskRCNN_ResNet50_FPN_Weights.COCO_V1",
        coco_norm_epsilon=0.0,
    ),
    BackboneSpec(
        "resnet50_v2",
        "resnet",
        "resnet50",
        23.5,
        _DEFAULT,
        "ResNet50_Weights.IMAGENET1K_V2",
        "MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1",
        has_v2_heads=True,
    ),
    BackboneSpec("resnet101", "resnet", "resnet101", 42.4, _MORE, "ResNet101_Weights.IMAGENET1K_V2"),
    BackboneSpec(
        "resnext50", "resnet", "resnext50_32x4d", 22.9, _MANY, "ResNeXt50_32X4D_Weights.IMAGENET1K_V2"
    ),
    BackboneSpec(
        "resnext101", "resnet", "resnext101_32x8d", 86.5, _MORE, "ResNeXt101_32X8D_Weights.IMAGENET1K_V2"
    ),
    BackboneSpec(
        "wide_resnet50", "resnet", "wide_resnet50_2", 66.8, _MORE, "Wide_ResNet50_2_Weights.IMAGENET1K_V2"
    ),
    BackboneSpec(
        "convnext_tiny",
        "features",
        "convnext_tiny",
        27.8,
        _MANY,
        "ConvNeXt_Tiny_Weights.IMAGENET1K_V1",
        has_own_norms=True,
        feature_ends=(1, 3, 5, 7),
        feature_channels=(96, 192, 384, 768),
    ),
    BackboneSpec(
        "swin_t",
        "features",
        "swin_t",
        27.5,
        _MANY,
        "Swin_T_Weights.IMAGENET1K_V1",
        has_own_norms=True,
        feature_ends=(1, 3, 5, 7),
        feature_channels=(96, 192, 384, 768),
        is_channels_last=True,
    ),
)
BACKBONES: Final[Mapping[str, BackboneSpec]] = {spec.name: spec for spec in _SPECS}


def _check_name(name: str) -> str:
    if name not in BACKBONES:
        raise ValueError(f"there is no backbone {name!r}; there are {', '.join(BACKBONES)}")
    return name


BackboneName = Annotated[str, AfterValidator(_check_name)]
