"""Where the ranges of settings end: the last value that is accepted, and the first that is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskloop.errors import ConfigurationError
from maskloop.settings.backbones import BACKBONES
from maskloop.settings.model_settings import (
    ClusterSettings,
    ModelSettings,
    PredictionSettings,
    TrainingSettings,
)
from maskloop.settings.network_rules import (
    Contradiction,
    alternatives_to_weights,
    check_cluster,
    check_network,
    check_picture_size,
    check_prediction,
    check_weights,
    refuse,
)
from maskloop.settings.workspace_settings import RolloutSettings, Settings, parse_settings


def nested(path: str, value: object) -> dict[str, Any]:
    """Return ``{"a": {"b": value}}`` for ``a.b``."""
    *sections, key = path.split(".")
    values: dict[str, Any] = {key: value}
    for section in reversed(sections):
        values = {section: values}
    return values


def read(path: str, settings: Settings) -> object:
    found: object = settings
    for name in path.split("."):
        found = getattr(found, name)
    return found


RANGES: list[tuple[str, object, object]] = [
    ("data.near_duplicate_distance_bits", -1, -2),
    ("data.near_duplicate_distance_bits", 16, 17),
    ("data.max_picture_mpx", 0.001, 0.0),
    ("data.max_quarantined_percent", 100.0, 100.1),
    ("gates.confidence", 0.51, 0.5),
    ("gates.confidence", 0.999, 1.0),
    ("gates.resamples", 200, 199),
    ("gates.min_instances", 1, 0),
    ("gates.max_class_iou_drop", 0.0, -0.01),
    ("approval.expires_days", 0.01, 0.0),
    ("monitoring.window_samples", 50, 49),
    ("monitoring.false_alarm_rate", 0.499, 0.5),
    ("monitoring.false_alarm_rate", 1e-9, 0.0),
    ("monitoring.confirm_windows", 100, 101),
    ("monitoring.confirm_windows", 1, 0),
    ("monitoring.keep_pictures", 0, -1),
    ("monitoring.min_drifted_features", 1, 0),
    ("retraining.cooldown_hours", 0.0, -0.1),
    ("retraining.on_new_labelled_samples", 0, -1),
    ("retraining.max_cycles_per_week", 1, 0),
    ("retraining.lease_s", 0.1, 0.0),
    ("serving.port", 0, -1),
    ("serving.port", 65535, 65536),
    ("serving.workers", 1, 0),
    ("serving.batch_wait_ms", 0.0, -0.1),
    ("serving.stop_notice_s", 0.0, -0.1),
    ("serving.out_of_distribution_percent", 49.9, 50.0),
    ("serving.out_of_distribution_percent", 0.01, 0.0),
    ("serving.sampling.rate", 1.0, 1.01),
    ("serving.sampling.max_per_day", 0, -1),
    ("serving.slo.max_burn_rate", 0.1, 0.0),
    ("rollout.error_rate", 0.49, 0.5),
    ("rollout.error_rate", 0.001, 0.0),
    ("rollout.min_step_minutes", 0.0, -1.0),
    ("rollout.max_slice_pictures", 1, 0),
    ("export.min_parity", 1.0, 1.01),
    ("servers.mlflow_port", 65535, 65536),
    ("training.ema_decay", 0.0, -0.01),
    ("training.ema_decay", 0.9999, 1.0),
    ("training.warmup_steps", 0, -1),
    ("training.early_stopping_evaluations", 0, -1),
    ("training.num_workers", 0, -1),
    ("training.picture_cache_mb", 0, -1),
    ("training.clip_norm", 1e-6, 0.0),
    ("training.augmentation.min_crop_side", 0.01, 0.0),
    ("training.augmentation.min_crop_side", 1.0, 1.01),
    ("training.sampling.hard_example_weight", 1.0, 0.99),
    ("training.distillation.weight", 1.0, 1.01),
    ("model.trainable_layers", 0, -1),
    ("model.trainable_layers", 6, 7),
    ("model.max_detections", 1, 0),
]


@pytest.mark.parametrize(
    ("path", "last", "beyond"), RANGES, ids=[f"{path} {last}" for path, last, _ in RANGES]
)
def test_a_range_holds_its_last_value_and_not_the_next(path: str, last: object, beyond: object) -> None:
    assert read(path, parse_settings(nested(path, last))) == last
    with pytest.raises(ConfigurationError, match=path.split(".")[0]):
        parse_settings(nested(path, beyond))


PAIRS: list[tuple[str, list[float], list[float]]] = [
    ("model.prediction.extra_scales", [0.25, 4.0], [0.24]),
    ("model.prediction.extra_scales", [], [4.01]),
    ("training.augmentation.scale_range", [0.05, 20.0], [0.05, 20.1]),
    ("training.augmentation.scale_range", [1.5, 1.5], [0.04, 1.0]),
]


@pytest.mark.parametrize(("path", "accepted", "refused"), PAIRS)
def test_a_list_is_judged_number_by_number(path: str, accepted: list[float], refused: list[float]) -> None:
    assert read(path, parse_settings(nested(path, accepted))) == tuple(accepted)
    with pytest.raises(ConfigurationError, match=path):
        parse_settings(nested(path, refused))


@pytest.mark.parametrize("steps", [[100.0], [1.0, 100.0], [0.5, 0.6, 100.0]])
def test_steps_of_a_rollout_may_rise_to_100_in_any_number(steps: list[float]) -> None:
    assert parse_settings(nested("rollout.steps_percent", steps)).rollout.steps_percent == tuple(steps)


@pytest.mark.parametrize(
    "steps", [[], [0.0, 100.0], [5.0, 5.0, 100.0], [50.0, 5.0, 100.0], [50.0], [100.0, 100.0]]
)
def test_steps_that_stand_still_fall_or_stop_early_are_refused(steps: list[float]) -> None:
    with pytest.raises(ConfigurationError, match="the steps must rise, from above 0 to 100"):
        parse_settings(nested("rollout.steps_percent", steps))


@given(st.sets(st.integers(1, 99), max_size=8))
def test_any_rising_steps_that_end_at_100_are_accepted(steps: set[int]) -> None:
    rising = (*(float(step) for step in sorted(steps)), 100.0)
    assert RolloutSettings(steps_percent=rising).steps_percent == rising


@pytest.mark.parametrize("key", ["max_false_positives_per_true_positive", "max_latency_p95_ms"])
def test_zero_switches_a_limit_of_the_gates_off_and_less_is_refused(key: str) -> None:
    assert read(f"gates.{key}", parse_settings(nested(f"gates.{key}", 0))) is None
    assert read(f"gates.{key}", parse_settings(nested(f"gates.{key}", 0.1))) == 0.1
    with pytest.raises(ConfigurationError, match=f"gates.{key}"):
        parse_settings(nested(f"gates.{key}", -1))


@pytest.mark.parametrize(("val", "test"), [(50.0, 49.9), (0.0, 0.0), (0.0, 99.9)])
def test_any_share_may_be_held_out_as_long_as_some_is_left_to_train_on(val: float, test: float) -> None:
    read_back = parse_settings({"data": {"val_percent": val, "test_percent": test}}).data
    assert (read_back.val_percent, read_back.test_percent) == (val, test)


@pytest.mark.parametrize("name", ["a", "7", "parts-2.final_B", "x" * 64])
def test_a_models_name_is_letters_digits_and_a_few_signs(name: str) -> None:
    assert parse_settings({"model_name": name}).model_name == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a/b", "ä", "x" * 65])
def test_a_models_name_that_mlflow_or_a_folder_could_not_bear_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="model_name"):
        parse_settings({"model_name": name})


# --- what is written of settings ------------------------------------------------------------------


def test_newer_keys_are_written_only_where_they_are_used() -> None:
    plain = ModelSettings().model_dump()
    assert not {"class_agnostic_masks", "prediction"} & plain.keys()
    assert plain["norm"] == "frozen_batch"
    used = ModelSettings(class_agnostic_masks=True, prediction=PredictionSettings(mirrored=True)).model_dump()
    assert (used["class_agnostic_masks"], used["prediction"]["mirrored"]) == (True, True)
    assert ModelSettings.model_validate(plain) == ModelSettings()


def test_fast_parts_are_all_of_them_in_one_order_by_default() -> None:
    parts = TrainingSettings().fast_parts
    assert parts == tuple(sorted(parts))
    assert TrainingSettings(fast_parts=parts[::-1]).fast_parts == parts
    assert TrainingSettings(fast_parts=()).fast_parts == ()


def test_where_it_is_trained_is_in_no_digest_and_parts_of_batches_only_if_there_are_several() -> None:
    plain = TrainingSettings().model_dump(mode="json")
    elsewhere = TrainingSettings(cluster=ClusterSettings(workers=8, address="auto"))
    assert elsewhere.model_dump(mode="json") == plain
    assert "batch_parts" not in plain
    assert TrainingSettings(batch_parts=2).model_dump(mode="json") == {**plain, "batch_parts": 2}


# --- several workers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("training", "key"),
    [
        ({"batch_size": 8, "cluster": {"workers": 8}}, None),
        ({"batch_size": 7, "cluster": {"workers": 8}}, "training.batch_size"),
        ({"batch_size": 8, "batch_parts": 3, "cluster": {"workers": 2}}, None),
        ({"batch_size": 8, "batch_parts": 3, "cluster": {"workers": 3}}, "training.batch_size"),
        ({"batch_size": 2, "batch_parts": 3}, "training.batch_size"),
        ({"cluster": {"workers": 2, "least_workers": 2}}, None),
        ({"cluster": {"workers": 2, "least_workers": 3}}, "training.cluster.least_workers"),
        ({"cluster": {"workers": 2}, "fast_parts": ["heads", "preparation"]}, "training.fast_parts"),
        ({"cluster": {"workers": 2}, "evaluate_beside": True}, "training.evaluate_beside"),
        ({"evaluate_beside": True, "fast_parts": []}, None),
    ],
)
def test_what_several_workers_cannot_do_is_said_before_they_start(
    training: dict[str, Any], key: str | None
) -> None:
    found = [one.key for one in check_cluster(TrainingSettings.model_validate(training))]
    assert found == ([key] if key else [])


# --- single rules of networks ---------------------------------------------------------------------


def contradictions_of_weights(**model: Any) -> list[Contradiction]:
    return list(check_weights(ModelSettings(**model)))


@pytest.mark.parametrize("backbone", list(BACKBONES))
@pytest.mark.parametrize("weights", ["scratch", "weights.pth", "a/b.safetensors"])
def test_every_backbone_may_start_from_scratch_or_from_a_file(backbone: str, weights: str) -> None:
    assert contradictions_of_weights(backbone=backbone, weights=weights) == []


@pytest.mark.parametrize("backbone", list(BACKBONES))
@pytest.mark.parametrize("weights", ["coco", "imagenet"])
def test_named_weights_are_for_backbones_that_have_them(backbone: str, weights: str) -> None:
    spec = BACKBONES[backbone]
    has_them = spec.coco_weights if weights == "coco" else spec.imagenet_weights
    assert bool(contradictions_of_weights(backbone=backbone, weights=weights)) == (has_them is None)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ({"box_head_width": 512, "mask_head_width": 128}, "box_head_width, mask_head_width"),
        ({"mask_head_layers": (256,)}, "mask_head_layers"),
        ({"norm": "group"}, "norm"),
        ({"anchor_aspect_ratios": (1.0,)}, "anchor_sizes_px, anchor_aspect_ratios"),
        ({"anchor_sizes_px": ((8, 16),) * 5}, "anchor_sizes_px, anchor_aspect_ratios"),
    ],
)
def test_coco_weights_do_not_fit_a_network_of_another_shape(model: dict[str, Any], named: str) -> None:
    (found,) = contradictions_of_weights(**model)
    assert found.key == "model.weights"
    assert found.said.endswith(f"own network alone, and {named} make another")
    assert found.hint == f"leave the default of {named}, or {alternatives_to_weights('resnet50_v2')}"


@pytest.mark.parametrize(
    "model",
    [
        {"norm": "batch"},
        {"anchor_sizes_px": ((8,), (16,), (32,), (64,), (128,))},
        {"anchor_aspect_ratios": (0.3, 1.0, 3.0)},
        {"anchor_sizes_px": ((8, 12, 16),) * 5, "anchor_aspect_ratios": (1.0,)},
        {"min_size_px": 300, "max_detections": 10},
    ],
)
def test_coco_weights_fit_where_every_tensor_keeps_its_shape(model: dict[str, Any]) -> None:
    assert contradictions_of_weights(**model) == []


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        (None, 'use "scratch" (no download), or the path of a .pth or .safetensors file'),
        ("small", 'use "scratch" (no download), or the path of a .pth or .safetensors file'),
        (
            "resnet18",
            'use "imagenet" (downloaded), "scratch" (no download),'
            " or the path of a .pth or .safetensors file",
        ),
    ],
)
def test_only_weights_that_exist_are_offered(backbone: str | None, said: str) -> None:
    assert alternatives_to_weights(backbone) == said


@pytest.mark.parametrize(("min_px", "max_px", "num"), [(200, 200, 0), (201, 200, 1), (199, 200, 0)])
def test_the_shorter_side_may_be_as_long_as_the_longer_one(min_px: int, max_px: int, num: int) -> None:
    found = list(check_picture_size(ModelSettings(min_size_px=min_px, max_size_px=max_px)))
    assert len(found) == num


@pytest.mark.parametrize(("norm", "num"), [("frozen_batch", 0), ("batch", 1), ("group", 1)])
def test_norms_of_its_own_leave_no_choice_of_norms(norm: str, num: int) -> None:
    for backbone in ("swin_t", "convnext_tiny"):
        model = ModelSettings.model_validate({"backbone": backbone, "norm": norm})
        assert [one.key for one in check_network(model)] == ["model.norm"] * num


@pytest.mark.parametrize(
    ("prediction", "parts", "hint"),
    [
        ({}, (), ""),
        ({"precision": "bf16"}, (), ""),
        ({"mirrored": True}, ("heads", "preparation"), ""),
        ({"mirrored": True}, ("heads",), "leave preparation in training.fast_parts"),
        ({"soft_nms": "linear"}, ("preparation", "anchors"), "leave heads in training.fast_parts"),
        ({"extra_scales": (0.5,)}, (), "leave heads and preparation in training.fast_parts"),
    ],
)
def test_other_ways_to_predict_need_the_fast_parts_that_know_them(
    prediction: dict[str, Any], parts: tuple[Any, ...], hint: str
) -> None:
    found = check_prediction(PredictionSettings(**prediction), parts)
    assert [one.hint for one in found] == ([hint] if hint else [])


def test_the_first_contradiction_is_the_error_and_none_is_no_error() -> None:
    refuse([])
    one, other = Contradiction("model.norm", "it is wrong", "leave it out"), Contradiction("b", "c", "d")
    with pytest.raises(ConfigurationError) as refused:
        refuse([one, other])
    assert str(refused.value) == "it is wrong (model.norm). Leave it out"
