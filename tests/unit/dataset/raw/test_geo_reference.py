"""Where pixels lie, beside what GDAL 3.10 (rasterio 1.4) says of the same files."""

from __future__ import annotations

import io
from typing import Any

import pytest

from dataset.raw.geo_reference import GeoReference, read_geo_reference
from dataset.raw.tiff_window import TiffScene
from tests.fakes.field_pictures import GEOTIFF

DEGREES: dict[str, Any] = {"GTRasterTypeGeoKey": 2, "GeographicTypeGeoKey": 4326}
"""As GDAL writes pixels that are points: the tie point is the centre of the first."""


def test_a_geotiff_of_gdal_is_placed_as_gdal_places_it() -> None:
    pytest.importorskip("tifffile")
    keys = TiffScene(io.BytesIO(GEOTIFF)).geo_keys

    assert read_geo_reference(keys) == GeoReference((10, 0, 691_000, 0, -10, 5_335_000), "EPSG:32632")


def test_pixels_that_are_points_begin_half_a_pixel_before_their_centre() -> None:
    keys = {**DEGREES, "ModelPixelScale": [0.5, 0.5, 0], "ModelTiepoint": [0, 0, 0, 10.25, 49.75, 0]}

    assert read_geo_reference(keys) == GeoReference((0.5, 0, 10, 0, -0.5, 50), "EPSG:4326")


def test_a_turned_picture_has_a_whole_transformation() -> None:
    rows = [[2, 1, 0, 100], [1, -2, 0, 900], [0, 0, 0, 0], [0, 0, 0, 1]]

    assert read_geo_reference({"ModelTransformation": rows}) == GeoReference((2, 1, 100, 1, -2, 900), "")


def test_a_tie_point_elsewhere_than_in_the_corner_counts() -> None:
    keys = {"ModelPixelScale": [2, 3, 0], "ModelTiepoint": [10, 20, 0, 1000, 2000, 0]}

    assert read_geo_reference(keys) == GeoReference((2, 0, 980, 0, -3, 2060), "")


@pytest.mark.parametrize(
    "keys",
    [
        None,
        {},
        {"ModelPixelScale": [1, 1, 0]},
        {"ModelPixelScale": [1, 1, 0], "ModelTiepoint": [0] * 12},
        {"GeographicTypeGeoKey": 4326},
    ],
)
def test_control_points_alone_place_nothing(keys: dict[str, Any] | None) -> None:
    assert read_geo_reference(keys) is None


def test_a_system_without_a_code_has_no_name() -> None:
    keys = {"ModelPixelScale": [1, 1, 0], "ModelTiepoint": [0] * 6, "ProjectedCSTypeGeoKey": 32767}

    assert read_geo_reference(keys) == GeoReference((1, 0, 0, 0, -1, 0), "")
