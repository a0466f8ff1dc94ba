"""The baseline: what the champion's own validation pictures look like. It changes when the champion does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from maskloop.digest import canonical_json, digest_bytes
from maskloop.errors import DataError, NotFoundError
from monitoring.array_file import Arrays, read_array_file, write_array_file
from monitoring.features.observation import Observation, Observed

SCHEMA_VERSION: Final = 3
_WITHOUT_PICTURES: Final = 2
_WITHOUT_SCENES: Final = 1
"""A baseline has the earliest schema that can hold it, so that one measured before keeps its digest."""
_OF_SCENES: Final = ("is_representative", "is_embedding_representative", "looks")
_OF_PICTURES: Final = "picture_digests"


@dataclass(frozen=True, eq=False)
class Baseline:
    """The reference of every drift verdict about one champion. Compare two by `digest`.

    Attributes:
        weights_digest: Of the champion whose predictions these are.
        data_fingerprint: Of the data version the pictures come from.
        feature_names: F names, sorted.
        values: float64 (P, F), one row a picture; NaN where a feature does not exist.
        embeddings: float32 (Q, E) of the Q <= P pictures that have one; (0, 0) if there are none.
        is_representative: bool (P,), one picture of each scene; (0,) if each is a scene of its own.
        is_embedding_representative: bool (Q,), the same for the embeddings.
        looks: uint64 (L,), sorted: the difference hashes of those of the representatives that have one.
        picture_digests: str (Q,), of the pictures of the embeddings; (0,) where they were not written down.
    """

    weights_digest: str
    data_fingerprint: str
    feature_names: tuple[str, ...]
    values: NDArray[np.float64]
    embeddings: NDArray[np.float32]
    is_representative: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    is_embedding_representative: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    looks: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    picture_digests: NDArray[np.str_] = field(default_factory=lambda: np.zeros(0, np.str_))

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.feature_names):
            raise ValueError(f"{len(self.feature_names)} features, values {self.values.shape}")
        if self.embeddings.ndim != 2 or not np.isfinite(self.embeddings).all():
            raise ValueError("embeddings must be finite and two-dimensional")

    @property
    def num_samples(self) -> int:
        """The number of pictures."""
        return len(self.values)

    @property
    def scene_values(self) -> NDArray[np.float64]:
        """The values of one picture of each scene, float64 (S, F): those that are independent."""
        return self.values[self.is_representative] if self.is_representative.size else self.values

    @property
    def scene_embeddings(self) -> NDArray[np.float32]:
        """The embeddings of one picture of each scene, float32 (S, E); fewer where some have none."""
        chosen = self.is_embedding_representative
        return self.embeddings[chosen] if chosen.size else self.embeddings

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
        parts = [canonical_json(self._head()).encode(), values, embeddings]
        if self._has_scenes:
            parts += [self.is_representative.tobytes(), self.is_embedding_representative.tobytes()]
            parts += [np.ascontiguousarray(self.looks, dtype="<u8").tobytes()]
        if self.picture_digests.size:
            parts += [canonical_json(self.picture_digests.tolist()).encode()]
        return digest_bytes(b"".join(parts))

    @property
    def _has_scenes(self) -> bool:
        return bool(self.is_representative.size or self.looks.size)

    def _head(self) -> dict[str, Any]:
        earlier = _WITHOUT_PICTURES if self._has_scenes else _WITHOUT_SCENES
        return {
            "schema_version": SCHEMA_VERSION if self.picture_digests.size else earlier,
            "weights_digest": self.weights_digest,
            "data_fingerprint": self.data_fingerprint,
            "feature_names": list(self.feature_names),
            "shapes": [list(self.values.shape), list(self.embeddings.shape)],
        }


def build_baseline(
    observations: Sequence[Observation], *, weights_digest: str, data_fingerprint: str
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
    of_embeddings = np.lexsort(embeddings.T) if embeddings.size else np.arange(len(embeddings))
    chosen = _representatives(observations, values)
    with_embedding = np.array([observation.embedding is not None for observation in observations])
    looks = [
        observation.difference_hash
        for observation, is_chosen in zip(observations, chosen, strict=True)
        if is_chosen and observation.difference_hash is not None
    ]
    has_scenes = bool(looks) or not chosen.all()
    digests = np.array([one.picture_digest for one in observations if one.embedding is not None], np.str_)
    return Baseline(
        weights_digest,
        data_fingerprint,
        names,
        values[order],
        embeddings[of_embeddings],
        chosen[order] if has_scenes else chosen[:0],
        chosen[with_embedding][of_embeddings] if has_scenes else chosen[:0],
        np.sort(np.array(looks, np.uint64)),
        digests[of_embeddings] if digests.size and (digests != "").any() else digests[:0],
    )


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
    arrays: dict[str, NDArray[Any]] = {"values": baseline.values, "embeddings": baseline.embeddings}
    if baseline._has_scenes:
        arrays |= {name: getattr(baseline, name) for name in _OF_SCENES}
    if baseline.picture_digests.size:
        arrays[_OF_PICTURES] = baseline.picture_digests
    write_array_file(file, baseline._head() | {"digest": baseline.digest}, arrays)


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
    return read_array_file(file, _build, known=SCHEMA_VERSION, what="the baseline")


def _build(head: Mapping[str, Any], arrays: Arrays) -> Baseline:
    loaded = Baseline(
        head["weights_digest"],
        head["data_fingerprint"],
        tuple(head["feature_names"]),
        arrays["values"],
        arrays["embeddings"],
        **{name: arrays[name] for name in (*_OF_SCENES, _OF_PICTURES) if name in arrays},
    )
    if head["schema_version"] != loaded._head()["schema_version"] or loaded.digest != head["digest"]:
        raise ValueError("it does not match its digest")
    return loaded


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _representatives(observations: Sequence[Observation], values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return bool (P,): one picture of each scene, by lot, which is the same in any order of the pictures."""
    chosen: dict[str | int, tuple[str, int]] = {}
    for row, observation in enumerate(observations):
        seen = np.asarray(observation.embedding or (), dtype="<f4").tobytes()
        lot = digest_bytes(np.ascontiguousarray(values[row], dtype="<f8").tobytes() + seen)
        scene = observation.scene or row
        chosen[scene] = min(chosen.get(scene, (lot, row)), (lot, row))
    is_chosen = np.zeros(len(observations), np.bool_)
    is_chosen[[row for _, row in chosen.values()]] = True
    return is_chosen
