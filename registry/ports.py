"""The two ports of the registry: where model versions are kept, and where training runs are recorded.

Both are recording and display. What may serve is decided by the ledger alone, so that a lost server, a moved
alias or an edited tag changes nothing about production.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
APPROVAL_TAG: Final = "approval"
APPROVAL_PENDING: Final = "pending"
"""What that tag says until somebody decides."""
APPROVED_BY_TAG: Final = "approved_by"
STATUS_TAG: Final = "status"
"""Shows a `VersionStatus`."""
DIGEST_TAG: Final = "weights_digest"
EVIDENCE_TAG: Final = "evidence"
RunKind = Literal["training", "drift check", "search"]
"""What a run records; each kind has a list of its own for people to look at."""


class VersionStatus(StrEnum):
    """How far a version has come; its tag `STATUS_TAG` shows it to people."""

    CANDIDATE = "candidate"
    CHAMPION = "champion"
    RETIRED = "retired"


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of the registered model.

    Attributes:
        name: Of the registered model.
        version: ``1``, ``2``, … as text.
        run_id: The training run it came from.
        weights_digest: sha256 of its weights, as said at registration.
        tags: What people and maskloop wrote beside it.
        aliases: Names that point at it, sorted.
        created_at: UTC.
    """

    name: str
    version: str
    run_id: str
    weights_digest: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]
    created_at: datetime


class ModelStore(Protocol):
    """Keeps versions of one registered model. Every method raises UnavailableError when it cannot answer."""

    def register(
        self,
        artifact_dir: Path,
        *,
        run_id: str,
        weights_digest: str,
        tags: Mapping[str, str],
        description: str = "",
    ) -> RegisteredVersion:
        """Upload an artifact folder as a new version; the same run and weights give the same version back."""
        ...

    def version(self, version: str) -> RegisteredVersion:
        """Return one version. Raises NotFoundError."""
        ...

    def with_alias(self, alias: str) -> RegisteredVersion | None:
        """Return the version an alias points at, or None."""
        ...

    def set_alias(self, alias: str, version: str) -> None:
        """Point an alias at a version, wherever it was before. Raises NotFoundError."""
        ...

    def delete_alias(self, alias: str) -> None:
        """Remove an alias; removing one that is not there is fine."""
        ...

    def set_tag(self, version: str, key: str, value: str) -> None:
        """Write one tag of a version. Raises NotFoundError."""
        ...

    def describe(self, version: str, markdown: str) -> None:
        """Replace a version's description. Raises NotFoundError."""
        ...

    def fetch(self, version: str, directory: Path) -> Path:
        """Copy a version's artifact files into a new or empty folder, completely or not at all.

        Raises:
            NotFoundError: if the version or its files do not exist.
            StorageError: if they cannot be written.
        """
        ...


class RunTracker(Protocol):
    """Records trainings, drift checks and searches for people to look at."""

    def open_run(
        self,
        key: str,
        *,
        name: str,
        tags: Mapping[str, str],
        kind: RunKind = "training",
        parent_id: str = "",
    ) -> str:
        """Start a run, or open the one with this key again, also after a crash; returns its id.

        A run, or a whole list of them, that somebody deleted is there again. One with a parent is shown below
        it.
        """
        ...

    def find_run(self, key: str) -> str:
        """Return the id of the run with this key, of any kind, or an empty string."""
        ...

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Record settings. A parameter already recorded keeps its first value."""
        ...

    def params(self, run_id: str) -> Mapping[str, str]:
        """Return the settings that were recorded, as text. Raises NotFoundError."""
        ...

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], *, step: int) -> None:
        """Record figures at a training step."""
        ...

    def metric_history(self, run_id: str, name: str) -> tuple[tuple[int, float], ...]:
        """Return a figure's steps and values, by step; empty if there are none. Raises NotFoundError."""
        ...

    def log_table(self, run_id: str, rows: Sequence[Mapping[str, Any]], path: str) -> None:
        """Record rows as a CSV (``….csv``) or JSON (``….json``) file, replacing an older one."""
        ...

    def log_text(self, run_id: str, text: str, path: str) -> None:
        """Record a text, Markdown, HTML or JSON file, replacing an older one."""
        ...

    def read_text(self, run_id: str, path: str) -> str:
        """Return a text that was recorded. Raises NotFoundError."""
        ...

    def log_picture(self, run_id: str, picture: NDArray[np.uint8], path: str) -> None:
        """Record a picture, uint8 (H, W, 3) RGB, as PNG."""
        ...

    def log_file(self, run_id: str, file: Path, folder: str) -> None:
        """Record a copy of a file below ``folder``."""
        ...

    def fetch_files(self, run_id: str, folder: str, directory: Path) -> Path:
        """Copy the files recorded directly below ``folder`` into a new folder, completely or not at all.

        Raises:
            NotFoundError: if there are none.
            StorageError: if they cannot be written.
        """
        ...

    def log_dataset(
        self,
        run_id: str,
        *,
        name: str,
        tag: str,
        fingerprint: str,
        dvc_md5: str,
        context: str,
        num_pictures: int,
    ) -> None:
        """Record which data version a run read, and for what (``training``, ``test``)."""
        ...

    def close_run(self, run_id: str, status: Literal["finished", "failed"]) -> None:
        """Say that a run has ended."""
        ...

    def route(self, run_id: str, path: str = "") -> str:
        """Return where a server shows a run or one of its files, from the server's address on: ``#/…``."""
        ...

    def url(self, run_id: str, path: str = "") -> str:
        """Return the page of a run or of one of its files, or an empty string if no server is known."""
        ...

    def version_url(self, version: str) -> str:
        """Return the page of a model version, or an empty string if no server is known."""
        ...
