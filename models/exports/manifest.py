"""An export's manifest: its format, the model it was made from, its files' digests. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, get_args

from pydantic import BaseModel, ConfigDict

from maskloop.digest import digest_file
from models.artifacts.manifest import ArtifactManifest
from models.exports.steps import Steps

ExportFormat = Literal["openvino", "openvino-int8", "onnx"]
EXPORT_FORMATS: Final[tuple[ExportFormat, ...]] = get_args(ExportFormat)
EXPORT_FILE: Final = "export.json"
SCAN: Final = "scan"
CLASSIFY: Final = "classify"
OUTLINE: Final = "outline"
GRAPHS: Final = (SCAN, CLASSIFY, OUTLINE)
"""The three networks of a model; see `models.exports.graphs.graphs_of`."""


class ExportManifest(BaseModel):
    """What an export is, what it was made from, and the digests that prove it.

    Attributes:
        schema_version: Of this record.
        format: The files' format and precision.
        model: Manifest of the model it was made from.
        levels: Names of the pyramid's maps, finest first.
        steps: What lies between the networks, in numbers; None in exports of versions before.
        files: sha256 of every file beside the manifest.
        calibration_digests: sha256 of the pictures that 8-bit ranges were found in; empty without.
        picture_sizes: ``any``: sides are free, and padded to multiples of 32 px.
        environment: Versions and hardware it was made with.
        created_at: ISO 8601, UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    format: ExportFormat
    model: ArtifactManifest
    levels: tuple[str, ...]
    steps: Steps | None = None
    files: dict[str, str]
    calibration_digests: tuple[str, ...] = ()
    picture_sizes: Literal["any"] = "any"
    environment: dict[str, str]
    created_at: str


def export_digest(directory: Path) -> str:
    """Return the sha256 of an export's manifest, which names all its other files: the export's identity."""
    return digest_file(directory / EXPORT_FILE)
