"""Instances as GeoJSON (RFC 7946): polygons in the coordinates of their picture's system, or in px.

RFC 7946 knows WGS 84 alone. Pictures in another system keep its coordinates, and the collection names it in a
``crs`` member as GeoJSON of 2008 had it, which GDAL and QGIS write and read.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from dataset.exports.edges import trace_rings
from flows.batch.assembly import AnsweredPicture, WholeInstance

_WGS_84: Final = "EPSG:4326"
_PIXELS: Final = "pixels"
Ring = NDArray[np.float64]


def write_geojson(file: IO[bytes], about: Mapping[str, Any], pictures: Iterable[AnsweredPicture]) -> None:
    """Write a feature collection: a feature for each instance. ``about`` says what made it."""
    systems: set[str] = set()
    with tempfile.TemporaryFile() as features:
        is_first = True
        for picture in pictures:
            for one in picture.instances:
                systems.add(_system_of(picture))
                features.write((b"\n" if is_first else b",\n") + _json(_feature(picture, one)))
                is_first = False
        file.write(b'{"type": "FeatureCollection", "maskloop": ' + _json(about))
        if len(systems) == 1 and (crs := systems.pop()) not in (_WGS_84, _PIXELS, ""):
            code = crs.partition(":")[2]
            named = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{code}"}}
            file.write(b', "crs": ' + _json(named))
        file.write(b', "features": [')
        features.seek(0)
        shutil.copyfileobj(features, file)
    file.write(b"]}\n")


def nest_rings(rings: Sequence[NDArray[np.int64]]) -> list[list[NDArray[np.int64]]]:
    """Return polygons: an outline and the holes in it, int64 (N, 2) each.

    Args:
        rings: Of one mask, as `dataset.exports.edges.trace_rings` returns them, int64 (N, 2): outlines
            clockwise on the screen, holes the other way round.
    """
    areas = [_signed_area(ring) for ring in rings]
    outer = sorted(
        (number for number, area in enumerate(areas) if area > 0), key=lambda number: areas[number]
    )
    polygons = {number: [rings[number]] for number in outer}
    for number, ring in enumerate(rings):
        if areas[number] < 0:
            x, y = _point_inside(ring)
            holder = next(one for one in outer if _surrounds(rings[one], x, y))
            polygons[holder].append(ring)
    return [polygons[number] for number in sorted(polygons)]


def _system_of(picture: AnsweredPicture) -> str:
    return picture.geo.crs if picture.geo else _PIXELS


def _feature(picture: AnsweredPicture, one: WholeInstance) -> dict[str, Any]:
    polygons = [
        [
            _close(_place(ring + np.array([one.left_px, one.top_px]), picture), is_outer=not number)
            for number, ring in enumerate(polygon)
        ]
        for polygon in nest_rings(trace_rings(one.mask))
    ]
    shape: dict[str, Any] = {"type": "MultiPolygon", "coordinates": polygons}
    if len(polygons) == 1:
        shape = {"type": "Polygon", "coordinates": polygons[0]}
    properties = {"picture": picture.name, "class_name": one.class_name, "score": round(one.score, 4)}
    properties |= {"box_px": list(one.box_xyxy), "crs": _system_of(picture)}
    return {"type": "Feature", "geometry": shape if polygons else None, "properties": properties}


def _place(ring: NDArray[np.int64], picture: AnsweredPicture) -> Ring:
    return picture.geo.locate(ring) if picture.geo else ring.astype(np.float64)


def _close(ring: Ring, *, is_outer: bool) -> list[list[float]]:
    """Return a ring that ends where it begins; outlines run counterclockwise, y upwards, holes clockwise."""
    if (_signed_area(ring) > 0) != is_outer:
        ring = ring[::-1]
    corners: list[list[float]] = ring.tolist()
    return [*corners, corners[0]]


def _signed_area(ring: NDArray[Any]) -> float:
    """Return the area in a ring, above 0 if it runs from the x axis towards the y axis."""
    x, y = ring.astype(np.float64).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def _point_inside(hole: NDArray[np.int64]) -> tuple[float, float]:
    """Return the centre of a pixel that a hole surrounds: beside the first corner of its top row."""
    top = hole[:, 1].min()
    left = hole[hole[:, 1] == top, 0].min()
    return float(left) + 0.5, float(top) + 0.5


def _surrounds(ring: NDArray[np.int64], x: float, y: float) -> bool:
    """Tell by the even-odd rule whether a ring of upright and level lines surrounds a point beside them."""
    ends = np.roll(ring, -1, axis=0)
    is_upright = ring[:, 0] == ends[:, 0]
    low, high = np.minimum(ring[:, 1], ends[:, 1]), np.maximum(ring[:, 1], ends[:, 1])
    crossed = is_upright & (ring[:, 0] > x) & (low < y) & (y < high)
    return bool(crossed.sum() % 2)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
