"""A model's manifest: what it is, where it comes from, and the digests that prove it. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dataset.raw.conversion import DEFAULT_CONVERSION, PictureConversion
from evaluation.instances import ScoreThreshold
from maskloop.digest import digest_file, digest_value
from maskloop.errors import IntegrityError, NotFoundError
from maskloop.settings.model_settings import ModelSettings
from maskloop.settings.sections import Share

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
        conversion: How values that are no 8-bit RGB became it in that version, and do in every picture the
            model answers.
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
    conversion: PictureConversion = DEFAULT_CONVERSION
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


@dataclass(frozen=True)
class ArtifactFacts:
    """What is recorded in the manifest of a model that is saved; the names are those of `ArtifactManifest`.

    Attributes:
        settings: The settings the network is built from.
        created_at: UTC; None for now.
    """

    class_names: tuple[str, ...]
    settings: ModelSettings
    score_threshold: float
    class_score_thresholds: Mapping[str, float] = field(default_factory=dict)
    parent_digest: str = ""
    teacher_digest: str = ""
    dataset_tag: str = ""
    dataset_fingerprint: str = ""
    conversion: PictureConversion = DEFAULT_CONVERSION
    settings_digest: str = ""
    code_revision: str = ""
    created_at: datetime | None = None


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
