"""What a bundle says about itself: its model, what let it serve, its rule, its pictures, and its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from maskloop.errors import IntegrityError
from serving.edge.starting import MANIFEST_FILE

EXPORT_FOLDER: Final = "export"
CHECKS_FOLDER: Final = "checks"
Quality = float | None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class CloudRule(_Part):
    """Which answers are uncertain, and what the cloud's model makes of them.

    Attributes:
        max_doubt: An answer with more doubt (see `serving.edge.doubt`) goes to the cloud service, 0..1.
        wanted_share: Share of pictures that may go there, 0..1; the threshold was chosen for it.
        share: Of the pictures it was measured on, those that would go.
        cloud_version: The version that was measured as the cloud's.
        quality_edge: Class mask IoU of the bundle alone, 0..1; None without a labelled instance.
        quality_hybrid: Of the bundle with the cloud's answers in place of uncertain ones.
        quality_cloud: Of the cloud's answers alone.
        num_chosen_on: Validation pictures, which the threshold was chosen on.
        num_measured_on: Test pictures, which share and quality were measured on.
    """

    max_doubt: float
    wanted_share: float
    share: float
    cloud_version: str
    quality_edge: Quality
    quality_hybrid: Quality
    quality_cloud: Quality
    num_chosen_on: int
    num_measured_on: int


class CheckPicture(_Part):
    """A stored picture and the bundle's own answer about it, given when it was made.

    Attributes:
        file: Its name in ``checks/``.
        instances: As `models.answering.instance_json.write_instances` writes them.
    """

    file: str
    instances: tuple[dict[str, Any], ...]


class BundleManifest(_Part):
    """What a bundle is.

    Attributes:
        schema_version: Of this record.
        model_name: The registered model's name.
        version: Of the model.
        weights_digest: The model's identity.
        blessing_id: The verdict that lets it serve.
        format: Of the export.
        export_digest: Its identity.
        parity: How it answers beside the model, without torch, on the version's test pictures.
        rule: When the cloud service is asked; None for never.
        sampling_rate: Share of answers that are kept for the cloud service, 0..1.
        max_picture_mpx: Larger pictures are refused.
        checks: Pictures that are answered at each start.
        files: sha256 of every other file.
        created_at: ISO 8601, UTC.
    """

    schema_version: Literal[1] = 1
    model_name: str
    version: str
    weights_digest: str
    blessing_id: str
    format: str
    export_digest: str
    parity: dict[str, float]
    rule: CloudRule | None
    sampling_rate: float = Field(ge=0.0, le=1.0)
    max_picture_mpx: float
    checks: tuple[CheckPicture, ...]
    files: dict[str, str]
    created_at: str


def read_manifest(bundle: Path) -> BundleManifest:
    """Read the manifest of a bundle whose bytes were verified. Raises IntegrityError if it is none."""
    try:
        return BundleManifest.model_validate_json((bundle / MANIFEST_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise IntegrityError("the bundle's manifest cannot be read", where=str(bundle)) from error
