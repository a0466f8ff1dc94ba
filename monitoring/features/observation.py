"""One measured picture: its features by name, and its embedding."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Pause = Callable[[], None]


def go_on() -> None:
    """Pause for no time."""


class Observed(Protocol):
    """Anything that was measured: a production sample, or a validation picture of the champion."""

    @property
    def features(self) -> Mapping[str, float | None]:
        """Feature values by name."""
        ...

    @property
    def embedding(self) -> tuple[float, ...] | None:
        """The pooled backbone embedding."""
        ...


@dataclass(frozen=True)
class Observation:
    """One measured picture.

    Attributes:
        features: Value by feature name; None where it could not be measured. NaN and infinity become None.
        embedding: Pooled backbone embedding, float32 values, or None. One that is not finite becomes None.
        scene: The group of pictures it belongs to, see `dataset.labelled_pictures`; empty if it has none.
        difference_hash: 64 bits, see `dataset.pictures.looks`; None if it was not computed.
        picture_digest: sha256 of the picture's bytes; empty if nobody asked.
    """

    features: Mapping[str, float | None]
    embedding: tuple[float, ...] | None = None
    scene: str = ""
    difference_hash: int | None = None
    picture_digest: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", finite_features(self.features))
        object.__setattr__(self, "embedding", finite_embedding(self.embedding))


def finite_features(features: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the values as plain floats, with None for NaN and infinity."""
    return {
        name: float(value) if value is not None and math.isfinite(value) else None
        for name, value in features.items()
    }


def finite_embedding(embedding: NDArray[Any] | Sequence[float] | None) -> tuple[float, ...] | None:
    """Return an embedding, (E,), as float32 values in a tuple; None if empty or any value is not finite."""
    if embedding is None:
        return None
    values = np.asarray(embedding, dtype=np.float32).ravel()
    return tuple(values.tolist()) if values.size and np.isfinite(values).all() else None
