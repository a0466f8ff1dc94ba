from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from maskloop.errors import ConfigurationError
from maskloop.settings import Settings, load_settings, parse_settings


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
