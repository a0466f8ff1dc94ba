"""A model on disk: `weights.safetensors` and `manifest.json`, verified before anything is loaded.

No pickled classes: the manifest names the settings the network is built from, and tensors fill it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from evaluation.instances import ScoreThreshold
from maskloop.digest import digest_file, digest_value
from maskloop.errors import IntegrityError, NotFoundError
from maskloop.files import directory_written_atomically
from maskloop.settings.model_settings import ModelSettings
from maskloop.settings.sections import Share
from models.artifacts.environment import describe_environment
from models.network.build import build_model

WEIGHTS_FILE: Final = "weights.safetensors"
MANIFEST_FILE: Final = "manifest.json"
_MAX_MANIFEST_BYTES: Final = 2**20


class ArtifactManifest(BaseModel):
    """What a model is, where it comes from, and the digests that prove it.

    Attributes:
        schema_version: Of this record.
        class_names: The label schema; the network's class index counts into it.
        label_schema_digest: See `label_schema_digest`.
        model: The settings the network is built from.
        score_threshold: Detections at or above this score were judged, 0..1.
        class_score_thresholds: Likewise for single classes, calibrated on validation pictures; classes that
            are not named have ``score_threshold``.
        weights_digest: sha256 of `weights.safetensors`; the model's identity everywhere.
        files: sha256 of every file beside the manifest.
        parent_digest: The weights it was warm-started from; empty if from first weights.
        teacher_digest: The weights it learned from beside the labels; empty for none.
        dataset_tag: The data version it was trained on.
        dataset_fingerprint: Of that version.
        settings_digest: sha256 of the settings it was trained with.
        code_revision: git revision of the code that trained it.
        environment: See `models.artifacts.environment.describe_environment`.
        created_at: ISO 8601, UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    class_names: tuple[str, ...]
    label_schema_digest: str
    model: ModelSettings
    score_threshold: float = Field(ge=0.0, le=1.0)
    class_score_thresholds: dict[str, Share] = {}
    weights_digest: str
    files: dict[str, str]
    parent_digest: str
    teacher_digest: str = ""
    dataset_tag: str
    dataset_fingerprint: str
    settings_digest: str
    code_revision: str
    environment: dict[str, str]
    created_at: str

    @model_validator(mode="after")
    def _thresholds_are_of_its_classes(self) -> ArtifactManifest:
        if unknown := sorted(self.class_score_thresholds.keys() - set(self.class_names)):
            raise ValueError(f"score thresholds of classes it does not have: {', '.join(unknown)}")
        return self

    def thresholds(self) -> ScoreThreshold:
        """Return the score from which on detections count: of all classes, or of each, if it has its own."""
        own = self.class_score_thresholds
        if not own:
            return self.score_threshold
        return tuple(own.get(name, self.score_threshold) for name in self.class_names)


def label_schema_digest(class_names: tuple[str, ...]) -> str:
    """Return the sha256 of the class names in order."""
    return digest_value(list(class_names))


def save_artifact(
    directory: Path,
    model: MaskRCNN,
    *,
    class_names: tuple[str, ...],
    settings: ModelSettings,
    score_threshold: float,
    class_score_thresholds: Mapping[str, float] | None = None,
    parent_digest: str = "",
    teacher_digest: str = "",
    dataset_tag: str = "",
    dataset_fingerprint: str = "",
    settings_digest: str = "",
    code_revision: str = "",
    created_at: datetime | None = None,
) -> ArtifactManifest:
    """Write a model, complete or not at all. See `ArtifactManifest` for the fields.

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
            class_names=class_names,
            label_schema_digest=label_schema_digest(class_names),
            model=settings,
            score_threshold=score_threshold,
            class_score_thresholds=dict(class_score_thresholds or {}),
            weights_digest=digest,
            files={WEIGHTS_FILE: digest},
            parent_digest=parent_digest,
            teacher_digest=teacher_digest,
            dataset_tag=dataset_tag,
            dataset_fingerprint=dataset_fingerprint,
            settings_digest=settings_digest,
            code_revision=code_revision,
            environment=describe_environment(),
            created_at=(created_at or datetime.now(UTC)).isoformat(timespec="seconds"),
        )
        (beside / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def load_manifest(directory: Path) -> ArtifactManifest:
    """Read a manifest without looking at the weights.

    Raises:
        NotFoundError: if there is none.
        IntegrityError: if it is not a manifest, or contradicts itself.
    """
    path = directory / MANIFEST_FILE
    if not path.is_file():
        raise NotFoundError("there is no model here: manifest.json is missing", where=str(directory))
    if path.stat().st_size > _MAX_MANIFEST_BYTES:
        raise IntegrityError("the manifest is absurdly large", where=str(path))
    try:
        manifest = ArtifactManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise IntegrityError(
            f"this is not a model's manifest: {error.errors()[0]['msg']}", where=str(path)
        ) from error
    if manifest.label_schema_digest != label_schema_digest(manifest.class_names):
        raise IntegrityError("the class names do not match their digest", where=str(path))
    if manifest.files.get(WEIGHTS_FILE) != manifest.weights_digest:
        raise IntegrityError("the manifest names two digests for the weights", where=str(path))
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


def load_model(directory: Path, *, expected_digest: str | None = None) -> tuple[MaskRCNN, ArtifactManifest]:
    """Verify an artifact and build its network, on the CPU. Raises as `verify_artifact` does."""
    manifest, state = _read_verified(directory, expected_digest)
    model = build_model(manifest.model, num_classes=len(manifest.class_names), pretrained=False)
    model.load_state_dict(state)
    return model, manifest


def _read_verified(
    directory: Path, expected_digest: str | None
) -> tuple[ArtifactManifest, dict[str, Tensor]]:
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
    _check_schema(state, manifest, directory)
    _check_finite(state, directory)
    return manifest, state


def check_files(directory: Path, files: Mapping[str, str]) -> None:
    """Raise IntegrityError unless every named file lies in the directory and has its sha256."""
    for name, digest in files.items():
        path = directory / name
        if path.parent != directory or not path.is_file():
            raise IntegrityError(f"the file {name} is missing", where=str(directory))
        if digest_file(path) != digest:
            raise IntegrityError(
                f"the bytes of {name} do not match the digest recorded for them",
                where=str(directory),
                hint="delete the folder to have it fetched again, or roll back",
            )


def _check_schema(state: dict[str, Tensor], manifest: ArtifactManifest, directory: Path) -> None:
    with torch.device("meta"):
        model = build_model(manifest.model, num_classes=len(manifest.class_names), pretrained=False)
    wanted = {name: (tensor.dtype, tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: (tensor.dtype, tensor.shape) for name, tensor in state.items()}
    if wrong := sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)):
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
