"""The cause that is named is the one that was injected, with the real features of drawn photographs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from dataset.synthetic.parts import CLASS_NAMES
from dataset.synthetic.scene import Scene, photograph_scene
from evaluation.instances import Detections
from maskloop.masks import boxes_xyxy, encode_masks
from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.verdict import judge_drift
from monitoring.features.observation import Observation
from monitoring.features.table import observe
from tests.fakes.drift_data import baseline_of, window_of

Pixels = NDArray[np.uint8]
_SIDE_PX = 96


def rounded(values: NDArray[np.floating[Any]]) -> Pixels:
    clipped: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return clipped


def blurred(scene: Scene) -> Scene:
    return with_pixels(scene, rounded(gaussian_filter(scene.pixels.astype(float), (1.5, 1.5, 0))))


def darkened(scene: Scene) -> Scene:
    return with_pixels(scene, rounded(scene.pixels * 0.5))


def recoloured(scene: Scene) -> Scene:
    return with_pixels(scene, rounded(scene.pixels * np.array([1.25, 1.0, 0.95])))


def noised(scene: Scene) -> Scene:
    noise = np.random.default_rng(int(scene.pixels.sum())).normal(0, 12, (_SIDE_PX, _SIDE_PX, 1))
    return with_pixels(scene, rounded(scene.pixels + noise))


def zoomed(scene: Scene) -> Scene:
    """Show the middle two thirds as large as all was."""
    places = (
        (_SIDE_PX // 6 + np.arange(_SIDE_PX) * 2 // 3)[:, np.newaxis],
        _SIDE_PX // 6 + np.arange(_SIDE_PX) * 2 // 3,
    )
    soft = gaussian_filter(scene.pixels[places].astype(float), (0.7, 0.7, 0))
    masks = np.stack([mask[places] for mask in scene.masks])
    seen = [bool(mask.any()) for mask in masks]
    classes = tuple(one for one, is_seen in zip(scene.class_indices, seen, strict=True) if is_seen)
    return Scene(rounded(soft), classes, masks[seen])


def with_pixels(scene: Scene, pixels: Pixels) -> Scene:
    return Scene(pixels, scene.class_indices, scene.masks)


def observed(scene: Scene) -> Observation:
    masks = encode_masks(scene.masks)
    scores = np.full(len(masks), 0.9, np.float32)
    boxes, classes = boxes_xyxy(masks).astype(np.float32), np.array(scene.class_indices, np.int64)
    return observe(scene.pixels, Detections(_SIDE_PX, _SIDE_PX, boxes, scores, classes, masks), CLASS_NAMES)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [photograph_scene(3, index, side_px=_SIDE_PX, shift=None) for index in range(120)]


@pytest.mark.parametrize(
    ("alter", "told"),
    [
        (blurred, "the pictures are smoother or blurred"),
        (darkened, "the pictures are darker"),
        (recoloured, "the colours moved towards red"),
        (noised, "there is more noise"),
        (zoomed, "the objects are larger"),
        (
            lambda scene: blurred(darkened(scene)),
            "the pictures are smoother or blurred; the pictures are darker",
        ),
    ],
)
def test_the_cause_that_was_injected_is_named_first(
    scenes: list[Scene], alter: Callable[[Scene], Scene], told: str
) -> None:
    baseline = baseline_of([observed(scene) for scene in scenes[:60]])
    window = window_of([observed(alter(scene)) for scene in scenes[60:]])
    verdict = judge_drift(baseline, window, MonitoringSettings(), seed=0)
    assert verdict.outcome == "drift"
    named = [clause.partition(" (")[0] for clause in verdict.cause.split("; ")]
    wanted = told.split("; ")
    assert sorted(named[: len(wanted)]) == sorted(wanted), verdict.cause


def test_the_same_scenes_under_the_same_camera_are_quiet(scenes: list[Scene]) -> None:
    baseline, window = (
        baseline_of(list(map(observed, scenes[:60]))),
        window_of(list(map(observed, scenes[60:]))),
    )
    assert judge_drift(baseline, window, MonitoringSettings(), seed=0).outcome == "quiet"
