"""The table of backbones and the networks built by it agree."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import torchvision
from torch import nn
from torchvision.ops.misc import FrozenBatchNorm2d

from maskloop.settings.backbones import BACKBONES, BackboneSpec, Family
from maskloop.settings.model_settings import ModelSettings
from models.network.backbones import BUILDERS, Backbone, build_backbone

PAGES = Path(__file__).parents[4] / "docs"
SPECS = [pytest.param(spec, id=name) for name, spec in BACKBONES.items()]


def build(name: str, **changes: Any) -> Backbone:
    with torch.device("meta"):
        return build_backbone(ModelSettings(backbone=name, weights="scratch", **changes))


def maps_of(made: Backbone, height_px: int, width_px: int) -> list[torch.Tensor]:
    with torch.device("meta"):
        return [*made.module.eval()(torch.empty(2, 3, height_px, width_px)).values()]


@pytest.mark.parametrize("spec", SPECS)
def test_a_row_says_of_the_maps_what_the_network_does(spec: BackboneSpec) -> None:
    made = build(spec.name, fpn_channels=24)
    maps = maps_of(made, 256, 320)
    assert [tuple(each.shape[:2]) for each in maps] == [(2, 24)] * len(spec.strides_px)
    assert [256 // each.shape[2] for each in maps] == [*spec.strides_px]
    assert [320 // each.shape[3] for each in maps] == [*spec.strides_px]
    assert len(spec.anchor_sizes_px) == len(spec.strides_px)
    assert len(made.roi_levels) == spec.num_roi_levels


@pytest.mark.parametrize("spec", SPECS)
def test_a_row_says_of_the_body_what_the_network_has(spec: BackboneSpec) -> None:
    body = build(spec.name).module.body
    million = sum(parameter.numel() for parameter in body.parameters()) / 1e6
    assert round(million, 1) == spec.million_parameters
    has_batch_norms = any(isinstance(one, nn.BatchNorm2d | FrozenBatchNorm2d) for one in body.modules())
    assert has_batch_norms != spec.has_own_norms


@pytest.mark.parametrize("spec", SPECS)
def test_every_parameter_of_a_body_is_in_one_stage(spec: BackboneSpec) -> None:
    made = build(spec.name)
    prefixes = [prefix for stage in made.stages for prefix in stage]
    names = [name for name, _ in made.module.body.named_parameters()]
    assert all(sum(name.startswith(prefix) for prefix in prefixes) == 1 for name in names)


@pytest.mark.parametrize("spec", SPECS)
def test_first_weights_that_a_row_names_are_torchvisions_own(spec: BackboneSpec) -> None:
    if spec.imagenet_weights:
        weights = torchvision.models.get_weight(spec.imagenet_weights)
        assert type(weights) is torchvision.models.get_model_weights(spec.torchvision_name)
    if spec.coco_weights:
        assert torchvision.models.get_weight(spec.coco_weights).meta["num_params"] > 40e6


def test_every_family_has_a_builder_and_a_backbone() -> None:
    assert set(BUILDERS) == set(get_args(Family)) == {spec.family for spec in BACKBONES.values()}


def test_a_backbone_of_a_known_family_is_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(
        BACKBONES["resnet18"], name="resnet152", torchvision_name="resnet152", million_parameters=58.0
    )
    monkeypatch.setitem(BACKBONES, "resnet152", row)
    made = build("resnet152")
    assert sum(parameter.numel() for parameter in made.module.body.parameters()) / 1e6 > 57
    assert [256 // each.shape[2] for each in maps_of(made, 256, 256)] == [4, 8, 16, 32, 64]


@pytest.mark.parametrize("spec", SPECS)
def test_pages_say_of_a_backbone_what_its_row_says(spec: BackboneSpec) -> None:
    options = (PAGES / "model-options.md").read_text(encoding="utf-8")
    (line,) = [line for line in options.splitlines() if line.startswith("|") and f"`{spec.name}`" in line]
    names, parameters, weights, use_it = (cell.strip() for cell in line.strip("|").split("|"))
    named = names.replace("`", "").split(", ")
    figures = [float(figure) for figure in parameters.split(", ")]
    assert dict(zip(named, figures * (1 if len(figures) > 1 else len(named)), strict=True))[spec.name] == (
        spec.million_parameters
    )
    first = {"coco": spec.coco_weights, "imagenet": spec.imagenet_weights}
    there = [name for name, known in first.items() if known] or ["scratch"]
    assert weights == ", ".join(f"`{name}`" for name in there)
    assert use_it == spec.use_it
    row = next(
        line
        for line in (PAGES / "settings.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `backbone` |")
    )
    assert f"`{spec.name}`" in row


def test_the_table_is_known_without_torch() -> None:
    code = "import sys, maskloop.settings.workspace_settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
