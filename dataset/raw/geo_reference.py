"""Where on Earth the pixels of a GeoTIFF lie: its transform and the code of its coordinate system.

GeoTIFF 1.1 (OGC 19-008r4): ModelPixelScale with ModelTiepoint, or ModelTransformation, and the keys of the
coordinate system. What they say of a pixel's centre (PixelIsPoint) is brought to its upper left corner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_PIXEL_IS_POINT: Final = 2
_USER_DEFINED: Final = 32767


@dataclass(frozen=True, slots=True)
class GeoReference:
    """How columns and rows become coordinates.

    Attributes:
        transform: a, b, c, d, e, f: ``x = a * column + b * row + c`` and ``y = d * column + e * row + f``, of
            the upper left corners of pixels.
        crs: The coordinate system, such as ``EPSG:32633``; empty if the file names none.
    """

    transform: tuple[float, float, float, float, float, float]
    crs: str

    def locate(self, points_N2: NDArray[Any]) -> NDArray[np.float64]:
        """Return the coordinates of points in px, (N, 2), x before y, as float64 (N, 2).

        >>> GeoReference((10.0, 0.0, 500.0, 0.0, -10.0, 900.0), "").locate(np.array([[1, 2]])).tolist()
        [[510.0, 880.0]]
        """
        a, b, c, d, e, f = self.transform
        columns, rows = np.asarray(points_N2, np.float64).T
        return np.stack([a * columns + b * rows + c, d * columns + e * rows + f], axis=1)


def read_geo_reference(keys: Mapping[str, Any] | None) -> GeoReference | None:
    """Return what a GeoTIFF's keys say, or None if they tie no pixel to the ground by one affine transform.

    Args:
        keys: As tifffile's ``geotiff_tags`` names them.
    """
    if not keys or (transform := _read_transform(keys)) is None:
        return None
    a, b, c, d, e, f = transform
    if keys.get("GTRasterTypeGeoKey") == _PIXEL_IS_POINT:
        c, f = c - (a + b) / 2, f - (d + e) / 2
    return GeoReference((a, b, c, d, e, f), _read_crs(keys))


def _read_transform(keys: Mapping[str, Any]) -> tuple[float, float, float, float, float, float] | None:
    whole = np.asarray(keys.get("ModelTransformation", ()), np.float64).ravel()
    if whole.size == 16:
        a, b, c = whole[[0, 1, 3]].tolist()
        d, e, f = whole[[4, 5, 7]].tolist()
        return a, b, c, d, e, f
    scale = np.asarray(keys.get("ModelPixelScale", ()), np.float64).ravel()
    tie = np.asarray(keys.get("ModelTiepoint", ()), np.float64).ravel()
    if scale.size < 2 or tie.size != 6:
        return None
    column, row, _, x, y, _ = tie.tolist()
    across, down = scale[:2].tolist()
    return across, 0.0, x - column * across, 0.0, -down, y + row * down


def _read_crs(keys: Mapping[str, Any]) -> str:
    for name in ("ProjectedCSTypeGeoKey", "GeographicTypeGeoKey"):
        code = keys.get(name)
        if code is not None and 0 < int(code) < _USER_DEFINED:
            return f"EPSG:{int(code)}"
    return ""
