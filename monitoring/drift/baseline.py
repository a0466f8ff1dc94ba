"""The baseline: what the champion's own validation pictures look like. It changes when the champion does."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from maskloop.digest import canonical_json, digest_bytes
from maskloop.errors import DataError, IntegrityError, NotFoundError
from maskloop.files import write_bytes
from maskloop.schema import refuse_newer
from monitoring.features.observation import Observed

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, eq=False)
class Baseline:
    """The reference of every drift verdict about one champion. Compare two by `digest`.

    Attributes:
        weights_digest: Of the champion whose predictions these are.
        data_fingerprint: Of the data version the pictures come from.
        feature_names: F names, sorted.
        values: float64 (P, F), one row a picture; NaN where a feature does not exist.
        embeddings: float32 (Q, E) of the Q <= P pictures that have one; (0, 0) if there are none.
    """

    weights_digest: str
    data_fingerprint: str
    feature_names: tuple[str, ...]
    values: NDArray[np.float64]
    embeddings: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.feature_names):
            raise ValueError(f"{len(self.feature_names)} features, values {self.values.shape}")
        if self.embeddings.ndim != 2 or not np.isfinite(self.embeddings).all():
            raise ValueError("embeddings must be finite and two-dimensional")

    @property
    def num_samples(self) -> int:
        """The number of pictures."""
        return len(self.values)

    def rows(self) -> list[dict[str, float]]:
        """Return each picture's features by name, without those that do not exist."""
        return [
            {
                name: float(value)
                for name, value in zip(self.feature_names, row, strict=True)
                if value == value
            }
            for row in self.values
        ]

    @cached_property
    def digest(self) -> str:
        """The sha256 of everything above, on any machine."""
        values = np.ascontiguousarray(self.values, dtype="<f8").tobytes()
        embeddings = np.ascontiguousarray(self.embeddings, dtype="<f4").tobytes()
        return digest_bytes(canonical_json(self._head()).encode() + values + embeddings)

    def _head(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "weights_digest": self.weights_digest,
            "data_fingerprint": self.data_fingerprint,
            "feature_names": list(self.feature_names),
            "shapes": [list(self.values.shape), list(self.embeddings.shape)],
        }


def build_baseline(
    observations: Sequence[Observed], *, weights_digest: str, data_fingerprint: str
) -> Baseline:
    """Gather the observations of the champion's validation pictures, in any order.

    Raises:
        DataError: if there are none, or their embeddings differ in length.
    """
    if not observations:
        raise DataError(
            "a baseline needs validation pictures, and there are none", hint="ingest data with a val split"
        )
    names = tuple(sorted({name for observation in observations for name in observation.features}))
    values = feature_matrix(observations, names)
    embeddings = embedding_matrix(observations)
    order = np.lexsort(np.nan_to_num(values, nan=np.inf).T) if names else np.arange(len(values))
    return Baseline(weights_digest, data_fingerprint, names, values[order], _sorted_rows(embeddings))


def feature_matrix(observations: Sequence[Observed], names: Sequence[str]) -> NDArray[np.float64]:
    """Return float64 (P, F), NaN where a feature is absent, None or not finite."""
    rows = [[_number(observation.features.get(name)) for name in names] for observation in observations]
    matrix = np.asarray(rows, dtype=np.float64).reshape(len(observations), len(names))
    matrix[~np.isfinite(matrix)] = np.nan
    return matrix


def embedding_matrix(observations: Sequence[Observed]) -> NDArray[np.float32]:
    """Return float32 (Q, E) of those with a finite embedding. Raises DataError if lengths differ."""
    found = [observation.embedding for observation in observations if observation.embedding is not None]
    if len({len(embedding) for embedding in found}) > 1:
        raise DataError("embeddings of different lengths cannot come from one model")
    matrix = np.asarray(found, dtype=np.float32).reshape(len(found), -1 if found else 0)
    return matrix[np.isfinite(matrix).all(axis=1)]


def save_baseline(baseline: Baseline, file: Path) -> None:
    """Write a baseline as one .npz file, atomically. Raises StorageError."""
    head = canonical_json(baseline._head() | {"digest": baseline.digest})
    buffer = io.BytesIO()
    np.savez_compressed(buffer, head=np.array(head), values=baseline.values, embeddings=baseline.embeddings)
    write_bytes(file, buffer.getvalue())


def load_baseline(file: Path) -> Baseline:
    """Read a baseline and check its digest.

    Raises:
        NotFoundError: if there is no such file.
        ConfigurationError: if a newer maskloop has written it.
        IntegrityError: if it is damaged, or of an earlier schema.
    """
    if not file.is_file():
        raise NotFoundError(
            "there is no baseline", where=str(file), hint="it is made when a champion is promoted"
        )
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
            head = json.loads(str(arrays["head"]))
            values, embeddings = arrays["values"], arrays["embeddings"]
        names = tuple(head["feature_names"])
        loaded = Baseline(head["weights_digest"], head["data_fingerprint"], names, values, embeddings)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise IntegrityError(f"the baseline cannot be read: {error}", where=str(file)) from error
    refuse_newer(head["schema_version"], SCHEMA_VERSION, what="the baseline", where=str(file))
    if head["schema_version"] != SCHEMA_VERSION or loaded.digest != head["digest"]:
        raise IntegrityError("the baseline does not match its digest", where=str(file))
    return loaded


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _sorted_rows(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    return matrix[np.lexsort(matrix.T)] if matrix.size else matrix
