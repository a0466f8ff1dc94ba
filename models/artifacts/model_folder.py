"""A model on disk: `weights.safetensors` and `manifest.json`, verified before anything is loaded.

No pickled classes: the manifest names the settings the network is built from, and tensors fill it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torchvision.models.detection import MaskRCNN

from maskloop.digest import digest_file
from maskloop.errors import IntegrityError
from maskloop.files import directory_written_atomically
from models.artifacts.environment import describe_environment
from models.artifacts.manifest import (
    MANIFEST_FILE,
    WEIGHTS_FILE,
    ArtifactFacts,
    ArtifactManifest,
    check_files,
    label_schema_digest,
    load_manifest,
)
from models.network.build import build_model


def save_artifact(directory: Path, model: MaskRCNN, facts: ArtifactFacts) -> ArtifactManifest:
    """Write a model, complete or not at all.

    Raises:
        IntegrityError: if a weight is not finite.
        StorageError: if the directory exists already, or the disk is full.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    _check_finite(state, directory)
    with directory_written_atomically(directory) as beside:
        save_file(state, beside / WEIGHTS_FILE)
        digest = digest_file(beside / WEIGHTS_FILE)
        manifest = ArtifactManifest(
            class_names=facts.class_names,
            label_schema_digest=label_schema_digest(facts.class_names),
            model=facts.settings,
            score_threshold=facts.score_threshold,
            class_score_thresholds=dict(facts.class_score_thresholds),
            weights_digest=digest,
            files={WEIGHTS_FILE: digest},
            parent_digest=facts.parent_digest,
            teacher_digest=facts.teacher_digest,
            dataset_tag=facts.dataset_tag,
            dataset_fingerprint=facts.dataset_fingerprint,
            conversion=facts.conversion,
            settings_digest=facts.settings_digest,
            code_revision=facts.code_revision,
            environment=describe_environment(),
            created_at=(facts.created_at or datetime.now(UTC)).isoformat(timespec="seconds"),
        )
        (beside / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def verify_artifact(directory: Path, *, expected_digest: str | None = None) -> ArtifactManifest:
    """Check every file's sha256, the tensors' names, dtypes and shapes, and that all weights are finite.

    Args:
        directory: Where the artifact lies.
        expected_digest: The weights digest recorded elsewhere; None if only the manifest vouches for it.

    Raises:
        NotFoundError: if there is no artifact.
        IntegrityError: naming what does not match.
    """
    return _read_verified(directory, expected_digest)[0]


def load_model(
    directory: Path, *, expected_digest: str | None = None, is_copied_next: bool = False
) -> tuple[MaskRCNN, ArtifactManifest]:
    """Verify an artifact and build its network, on the CPU. Raises as `verify_artifact` does.

    Args:
        directory: Where the artifact lies.
        expected_digest: The weights digest recorded elsewhere; None if only the manifest vouches for it.
        is_copied_next: The caller copies the network at once and keeps the copy alone. Until then its
            weights are pages of the file instead of a copy; whoever keeps them would follow the file.
    """
    manifest, state, model = _read_verified(directory, expected_digest)
    model.load_state_dict(state, assign=is_copied_next)
    return model, manifest


def _read_verified(
    directory: Path, expected_digest: str | None
) -> tuple[ArtifactManifest, dict[str, Tensor], MaskRCNN]:
    """Return manifest, tensors, and the network that they fill, whose own weights are not initialised."""
    manifest = load_manifest(directory)
    if expected_digest is not None and manifest.weights_digest != expected_digest:
        raise IntegrityError(
            f"this is the model {manifest.weights_digest[:12]}, and {expected_digest[:12]} was expected",
            where=str(directory),
        )
    check_files(directory, manifest.files)
    try:
        state = load_file(directory / WEIGHTS_FILE)
    except SafetensorError as error:
        raise IntegrityError(f"the weights cannot be read: {error}", where=str(directory)) from error
    with _Uninitialised():
        model = build_model(manifest.model, num_classes=len(manifest.class_names), pretrained=False)
    _check_schema(state, model.state_dict(), directory)
    _check_finite(state, directory)
    return manifest, state, model


class _Uninitialised(TorchFunctionMode):
    """Within it no weight gets its random first value: the loaded one replaces it anyway."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if kwargs and "tensor" in kwargs else args[0]
        return func(*args, **(kwargs or {}))


def _check_schema(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], directory: Path) -> None:
    wanted_kinds, found_kinds = (
        {name: (tensor.dtype, tensor.shape) for name, tensor in state.items()} for state in (wanted, found)
    )
    names = wanted_kinds.keys() | found_kinds.keys()
    if wrong := sorted(name for name in names if wanted_kinds.get(name) != found_kinds.get(name)):
        raise IntegrityError(
            f"{len(wrong)} tensors are not those of the network in the manifest: {', '.join(wrong[:3])}",
            where=str(directory),
        )


def _check_finite(state: dict[str, Tensor], directory: Path) -> None:
    for name, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise IntegrityError(
                f"the weights hold numbers that are not finite: {name}", where=str(directory)
            )
