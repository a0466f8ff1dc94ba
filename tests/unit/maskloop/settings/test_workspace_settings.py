from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from maskloop.errors import ConfigurationError
from maskloop.masks import MAX_AREA_PX
from maskloop.settings.workspace_settings import Settings, load_settings, parse_settings

REPOSITORY = Path(__file__).resolve().parents[4]


def test_an_empty_file_takes_the_defaults_but_has_no_gates() -> None:
    settings = parse_settings({})
    assert settings.approval.policy == "manual"
    with pytest.raises(ConfigurationError, match="no gates are configured"):
        settings.required_gates()
    assert parse_settings({"gates": {}}).required_gates().min_mean_iou == 0.7


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"training": {"stepz": 3}}, "unknown setting training.stepz"),
        ({"colour": 1}, "unknown setting colour"),
        ({"gates": {"min_mean_iou": 1.5}}, "gates.min_mean_iou"),
        ({"gates": {"min_mean_iou": float("nan")}}, "gates.min_mean_iou"),
        ({"gates": {"class_iou_floors": {"nut": -1}}}, "gates.class_iou_floors.nut"),
        ({"classes": ["nut", "nut"]}, "two classes have the same name"),
        ({"data": {"val_percent": 50, "test_percent": 50}}, "leave nothing to train on"),
        ({"data": {"max_picture_mpx": 100.5}}, "data.max_picture_mpx"),
        ({"model_name": "../evil"}, "model_name"),
        ({"approval": {"policy": "never"}}, "approval.policy"),
        ({"training": {"augmentation": {"scale_range": [2.0, 0.1]}}}, "the smaller scale comes first"),
        ({"training": {"augmentation": {"mirrored_classes": [["l", "r"], ["r", "x"]]}}}, "named twice"),
        ({"training": {"steps": "12"}}, "training.steps: Input should be a valid integer"),
        ({"training": {"batch_size": True}}, "training.batch_size"),
        ({"thresholds": {"per_class": "yes"}}, "thresholds.per_class"),
        ({"model": {"anchor_aspect_ratios": []}}, "model.anchor_aspect_ratios"),
        ({"model": {"prediction": {"extra_scales": [0.001]}}}, "model.prediction.extra_scales"),
        ({"training": {"augmentation": {"scale_range": [0.001, 1.0]}}}, "training.augmentation.scale_range"),
        ({"training": {"sampling": {"hard_example_weight": 0.5}}}, "training.sampling.hard_example_weight"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_settings(values, where="maskloop.toml")


SMALL = {"backbone": "small", "weights": "scratch"}


@pytest.mark.parametrize(
    ("model", "says", "hint"),
    [
        ({**SMALL, "anchor_sizes_px": [[8]]}, "model.anchor_sizes_px: .* 2 pyramid levels", "[[28], [52]]"),
        ({**SMALL, "anchor_sizes_px": [[8], [8, 16]]}, "equally many anchor sizes", "[[28], [52]]"),
        ({**SMALL, "anchor_sizes_px": [[], []]}, "equally many anchor sizes", "[[28], [52]]"),
        ({"anchor_sizes_px": [[8], [16]]}, "'resnet50_v2' has 5 pyramid levels", "[512]"),
        ({**SMALL, "min_size_px": 300, "max_size_px": 200}, "shorter side cannot have 300 px", "max_size_px"),
        ({"backbone": "small"}, "model.weights: there are no 'coco' weights", '"scratch"'),
        ({"backbone": "resnet18"}, "no 'coco' weights for the backbone 'resnet18'", '"imagenet"'),
        ({"backbone": "small", "weights": "imagenet"}, "no 'imagenet' weights", '"scratch"'),
        ({"weights": "imagenett"}, "'imagenett' is neither the name", '"imagenet" (downloaded)'),
        ({"fpn_channels": 64}, "fpn_channels make another", "leave the default of fpn_channels"),
        ({**SMALL, "backbone": "swin_t", "norm": "batch"}, "model.norm: .* of its own", "leave model.norm"),
    ],
)
def test_settings_of_a_network_that_cannot_hold_together_are_refused_when_they_are_read(
    model: dict[str, object], says: str, hint: str
) -> None:
    with pytest.raises(ConfigurationError, match=says) as refused:
        parse_settings({"model": model}, where="maskloop.toml")
    assert refused.value.where == "maskloop.toml"
    assert hint in refused.value.hint


def test_predicting_in_a_way_torchvisions_own_parts_do_not_know_is_refused_when_settings_are_read() -> None:
    values: dict[str, Any] = {"model": {"prediction": {"mirrored": True}}, "training": {"fast_parts": []}}
    with pytest.raises(ConfigurationError, match=r"model.prediction: .* Leave heads and preparation in"):
        parse_settings(values)
    values["model"]["prediction"] = {"precision": "bf16"}
    parse_settings(values)


def test_every_contradiction_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_settings({"model": {"backbone": "swin_t", "norm": "group"}})
    assert str(refused.value) == (
        "model.norm: the backbone 'swin_t' has layer norms of its own; model.weights: there are no 'coco' "
        "weights for the backbone 'swin_t' (settings). Leave model.norm out; use \"imagenet\" (downloaded), "
        '"scratch" (no download), or the path of a .pth or .safetensors file'
    )


@pytest.mark.parametrize("backbone", ["small", "resnet18"])
def test_a_file_of_weights_is_first_looked_for_when_it_is_needed(backbone: str) -> None:
    model = {"backbone": backbone, "weights": "nowhere/w.safetensors", "fpn_channels": 64}
    assert parse_settings({"model": model}).model.weights == "nowhere/w.safetensors"


SHIPPED = sorted([*REPOSITORY.glob("configs/*.toml"), *REPOSITORY.glob("benchmarks/*/*.toml")])


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_the_settings_that_come_with_it_hold_together(file: Path) -> None:
    with file.open("rb") as content:
        told = tomllib.load(content)
    assert load_settings(file).model_dump(include=set(told)).keys() == told.keys()


def test_every_wrong_key_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_settings({"a": 1, "b": 2})
    assert "unknown setting a; unknown setting b" in str(raised.value)


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().model_name = "x"  # type: ignore[misc]


def test_a_missing_file_says_how_to_make_a_workspace(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="maskloop init"):
        load_settings(tmp_path / "maskloop.toml")


@pytest.mark.parametrize("content", [b"a = ", b"\xff\xfe"])
def test_a_file_that_is_not_toml_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "maskloop.toml").write_bytes(content)
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        load_settings(tmp_path / "maskloop.toml")


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "maskloop.toml").write_text('classes = ["nut"]\n[gates]\nmin_class_iou = 0.5\n')
    settings = load_settings(tmp_path / "maskloop.toml")
    assert settings.classes == ("nut",)
    assert settings.required_gates().min_class_iou == 0.5


def test_the_order_of_fast_parts_and_naming_one_twice_make_no_difference() -> None:
    one, other = (
        parse_settings({"training": {"fast_parts": parts}})
        for parts in (["heads", "anchors", "heads"], ["anchors", "heads"])
    )
    assert one == other
    assert one.training.fast_parts == ("anchors", "heads")


def test_mirror_images_are_not_looked_at_where_they_name_other_classes() -> None:
    values: dict[str, Any] = {"model": {"prediction": {"mirrored": True}}}
    assert parse_settings(values).model.prediction.mirrored
    values["training"] = {"augmentation": {"mirrored_classes": [["left", "right"]]}}
    with pytest.raises(ConfigurationError, match="cannot tell"):
        parse_settings(values)


def test_the_largest_picture_allowed_is_the_largest_that_masks_can_follow() -> None:
    largest_mpx = MAX_AREA_PX / 1e6
    assert parse_settings({"data": {"max_picture_mpx": largest_mpx}}).data.max_picture_mpx == largest_mpx
    with pytest.raises(ConfigurationError, match=r"data.max_picture_mpx.*100"):
        parse_settings({"data": {"max_picture_mpx": largest_mpx + 0.001}})
