"""First weights: torchvision's COCO or ImageNet weights, a local file, or none."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any, Final

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from maskloop.errors import ConfigurationError, UnavailableError
from maskloop.settings.backbones import BACKBONES
from maskloop.settings.model_settings import ModelSettings
from maskloop.settings.network_rules import alternatives_to_weights, check_weights, refuse

_log = logging.getLogger(__name__)
_WHERE: Final = "model.weights"
_PREDICTORS: Final = ("roi_heads.box_predictor.", "roi_heads.mask_predictor.mask_fcn_logits.")


def load_pretrained(model: MaskRCNN, settings: ModelSettings) -> tuple[str, ...]:
    """Load the weights ``settings.weights`` names: ``coco``, ``imagenet``, ``scratch`` or a path.

    Layers that decide between classes keep their random weights if the file has another number of classes;
    that is logged.

    Returns:
        The names of the tensors that kept their random weights although weights were loaded.

    Raises:
        ConfigurationError: if there are no such weights for this network, or the file is missing, unreadable
            or belongs to another network.
        UnavailableError: if a download failed.
    """
    refuse(check_weights(settings))
    if settings.weights == "scratch":
        return ()
    if settings.weights == "imagenet":
        return _load_imagenet(model, settings)
    if settings.weights == "coco":
        state = _download(BACKBONES[settings.backbone].coco_weights, settings)
    else:
        state = read_weights(Path(settings.weights))
    return load_weights(model, state, where=settings.weights)


def load_weights(
    model: MaskRCNN, state: dict[str, Tensor], *, where: str, same_classes: bool = True
) -> tuple[str, ...]:
    """Copy ``state`` into the model; predictors for another number of classes stay random.

    Args:
        model: Changed in place.
        state: Tensors by name, any shape and any dtype.
        where: Named in messages.
        same_classes: False if the class names are known to differ, so that predictors stay random although
            their shapes may fit.

    Returns:
        The names of the tensors that stayed random.

    Raises:
        ConfigurationError: if names or shapes differ anywhere else.
    """
    own = model.state_dict()
    kept = tuple(
        name
        for name in own
        if name.startswith(_PREDICTORS) and not (same_classes and _has_shape(state, name, own[name].shape))
    )
    given = {**state, **{name: own[name] for name in kept}}
    try:
        model.load_state_dict(given)
    except RuntimeError as error:
        wrong = sorted(
            name
            for name in own.keys() | given.keys()
            if name not in own or not _has_shape(given, name, own[name].shape)
        )
        raise ConfigurationError(
            f"the weights belong to another network: {len(wrong)} tensors are missing, unknown or of another "
            f"shape, {wrong[0]} first",
            where=where,
            hint="make [model] the settings they were trained with, or start over with `maskloop train`",
        ) from error
    if kept:
        _log.warning("%s has other classes; these layers start random: %s", where, ", ".join(kept))
    return kept


def _has_shape(state: dict[str, Tensor], name: str, shape: torch.Size) -> bool:
    return name in state and state[name].shape == shape


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read tensors by name, any shape and any dtype, from ``.safetensors``, or ``.pth`` with tensors alone.

    Raises:
        ConfigurationError: if the file is missing, broken, or would run code when read.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ConfigurationError(
            "the file of weights does not exist", where=f"{_WHERE} = {path}", hint=alternatives_to_weights()
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
        raise ConfigurationError(
            f"the file of weights cannot be read as plain tensors ({type(error).__name__})",
            where=f"{_WHERE} = {path}",
        ) from error
    state = state.get("model", state) if isinstance(state, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ConfigurationError("the file holds more than named tensors", where=f"{_WHERE} = {path}")
    return state


def _load_imagenet(model: MaskRCNN, settings: ModelSettings) -> tuple[str, ...]:
    state = _download(BACKBONES[settings.backbone].imagenet_weights, settings)
    body = model.backbone.body
    own = {name.removeprefix("features."): tensor for name, tensor in state.items()}
    missing, _ = body.load_state_dict({k: v for k, v in own.items() if k in body.state_dict()}, strict=False)
    return tuple(f"backbone.body.{name}" for name in missing)


def _download(name: str | None, settings: ModelSettings) -> dict[str, Tensor]:
    """Fetch torchvision's weights of that name, which `check_weights` has found in the backbone's row."""
    try:
        weights = torchvision.models.get_weight(name)
        state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash is a RuntimeError
        raise UnavailableError(
            f"the {settings.weights!r} weights could not be downloaded: {error}",
            where=_WHERE,
            hint=alternatives_to_weights(settings.backbone),
        ) from error
    return state
