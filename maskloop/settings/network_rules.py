"""What the settings of a network must not contradict, known without building it.

Whoever reads settings asks `find_contradictions`; whoever builds a network asks the single rules.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maskloop.errors import ConfigurationError
from maskloop.settings.backbones import BACKBONES
from maskloop.settings.model_settings import FastPart, ModelSettings, PredictionSettings, TrainingSettings

_SHAPE_COCO_WEIGHTS: Final = ("fpn_channels", "box_head_width", "mask_head_layers", "mask_head_width")


@dataclass(frozen=True)
class Contradiction:
    """Settings that cannot hold together.

    Attributes:
        key: The one to change, for example ``model.norm``.
        said: What is wrong, without a full stop.
        hint: What would do.
    """

    key: str
    said: str
    hint: str


def find_contradictions(model: ModelSettings, training: TrainingSettings) -> tuple[Contradiction, ...]:
    """Return everything that would keep a first training from starting, or that no picture could meet."""
    return (
        *check_network(model),
        *check_picture_size(model),
        *check_weights(model),
        *check_prediction(model.prediction, training.fast_parts),
        *check_cluster(training),
    )


def refuse(contradictions: Iterable[Contradiction]) -> None:
    """Raise ConfigurationError for the first, if there is one."""
    for one in contradictions:
        raise ConfigurationError(one.said, where=one.key, hint=one.hint)


def check_network(model: ModelSettings) -> Iterator[Contradiction]:
    """Find what keeps the network from being built."""
    default_px = BACKBONES[model.backbone].anchor_sizes_px
    sizes, num_levels = model.anchor_sizes_px or default_px, len(default_px)
    counts = {len(level) for level in sizes}
    if len(sizes) != num_levels or len(counts) != 1 or 0 in counts:
        yield Contradiction(
            "model.anchor_sizes_px",
            f"the backbone {model.backbone!r} has {num_levels} pyramid levels and needs equally many "
            f"anchor sizes for each, not {[list(level) for level in sizes]}",
            f"for example {[list(level) for level in default_px]}",
        )
    if BACKBONES[model.backbone].has_own_norms and model.norm != "frozen_batch":
        said = f"the backbone {model.backbone!r} has layer norms of its own"
        yield Contradiction("model.norm", said, "leave model.norm out")


def check_picture_size(model: ModelSettings) -> Iterator[Contradiction]:
    """Find a size that no picture can be given. A network can be built all the same."""
    if model.min_size_px > model.max_size_px:
        yield Contradiction(
            "model.min_size_px",
            f"the shorter side cannot have {model.min_size_px} px where the longer has {model.max_size_px}",
            "make model.max_size_px the larger of the two",
        )


def check_weights(model: ModelSettings) -> Iterator[Contradiction]:
    """Find what keeps first weights from being loaded. Whether a file is there is not looked at."""
    key, weights = "model.weights", model.weights
    spec = BACKBONES[model.backbone]
    has_weights = {"coco": spec.coco_weights, "imagenet": spec.imagenet_weights, "scratch": True}
    if weights not in has_weights and not Path(weights).suffix:
        said = f"{weights!r} is neither the name of weights nor of a file with tensors"
        yield Contradiction(key, said, alternatives_to_weights(model.backbone))
    elif not has_weights.get(weights, True):
        said = f"there are no {weights!r} weights for the backbone {model.backbone!r}"
        yield Contradiction(key, said, alternatives_to_weights(model.backbone))
    elif weights == "coco" and (others := _differ_from_the_coco_network(model)):
        said = f"the 'coco' weights fit torchvision's own network alone, and {', '.join(others)} make another"
        hint = f"leave the default of {', '.join(others)}, or {alternatives_to_weights(model.backbone)}"
        yield Contradiction(key, said, hint)


def check_prediction(
    prediction: PredictionSettings, fast_parts: Collection[FastPart]
) -> Iterator[Contradiction]:
    """Find ways to predict that torchvision's own parts do not know."""
    left_out = {"heads", "preparation"} - {*fast_parts}
    wanted = prediction.model_copy(update={"precision": "fp32"})
    if wanted != PredictionSettings() and left_out:
        said = "torchvision's own parts know neither soft suppression nor several views"
        hint = f"leave {' and '.join(sorted(left_out))} in training.fast_parts"
        yield Contradiction("model.prediction", said, hint)


def check_cluster(training: TrainingSettings) -> Iterator[Contradiction]:
    """Find what several workers, or a batch in parts, cannot be trained with."""
    workers, parts = training.cluster.workers, training.batch_parts
    if workers * parts > training.batch_size:
        yield Contradiction(
            "training.batch_size",
            f"a batch of {training.batch_size} pictures has none for each of {workers} workers in each of "
            f"{parts} parts",
            f"make it at least {workers * parts}, or lower training.cluster.workers or training.batch_parts",
        )
    if training.cluster.least_workers > workers:
        said = f"{training.cluster.least_workers} workers cannot be the least of {workers}"
        yield Contradiction("training.cluster.least_workers", said, f"make it at most {workers}")
    left_out = {"heads", "preparation", "proposals"} - {*training.fast_parts}
    if workers > 1 and left_out:
        said = "torchvision's own parts take means over one worker's pictures, not over the batch"
        hint = f"leave {', '.join(sorted(left_out))} in training.fast_parts"
        yield Contradiction("training.fast_parts", said, hint)
    if workers > 1 and training.evaluate_beside:
        said = "several workers evaluate together, between their steps"
        yield Contradiction("training.evaluate_beside", said, "set it to false")


def alternatives_to_weights(backbone: str | None = None) -> str:
    """Say what `model.weights` may be instead."""
    has_imagenet = backbone is not None and BACKBONES[backbone].imagenet_weights
    imagenet = '"imagenet" (downloaded), ' if has_imagenet else ""
    return f'use {imagenet}"scratch" (no download), or the path of a .pth or .safetensors file'


def _differ_from_the_coco_network(model: ModelSettings) -> list[str]:
    """Name the keys that give some tensor another shape, or none, than in torchvision's file."""
    fields = ModelSettings.model_fields
    others = [name for name in _SHAPE_COCO_WEIGHTS if getattr(model, name) != fields[name].default]
    num_sizes = len(model.anchor_sizes_px[0]) if model.anchor_sizes_px else 1
    if num_sizes * len(model.anchor_aspect_ratios) != len(fields["anchor_aspect_ratios"].default):
        others += ["anchor_sizes_px", "anchor_aspect_ratios"]
    return others + (["norm"] if model.norm == "group" else [])
