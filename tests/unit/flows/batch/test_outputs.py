"""One file of answers: COCO, GeoJSON and Parquet say the same, in px and on the map."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.exports.edges import trace_rings
from dataset.raw.geo_reference import GeoReference
from flows.batch.assembly import AnsweredPicture, WholeInstance, assemble
from flows.batch.batch_folder import BatchFacts
from flows.batch.geojson import nest_rings
from flows.batch.outputs import write_output
from flows.batch.plan import Scene, Shard, Stretch
from flows.batch.results import ShardResult, UnitResult
from flows.runs.kept import KeptInstance
from maskloop.errors import DataError
from maskloop.masks import decode_masks, encode_masks, rle_from_coco

FACTS = BatchFacts("photos", "3", "abc", ("bolt", "nut"), 64, 16, True, None, "0" * 40)
GEO = GeoReference((0.5, 0.0, 1000.0, 0.0, -0.5, 2000.0), "EPSG:32632")
RING = np.ones((1, 5, 6), bool)
RING[0, 2:4, 2:4] = False


def picture(name: str = "a.png", geo: GeoReference | None = None, **stated: Any) -> AnsweredPicture:
    """Return a picture of 20 x 10 px with a ring of 6 x 5 px around a hole, at (3, 2)."""
    whole = WholeInstance("nut", 0.87654, (3.0, 2.0, 9.0, 7.0), 3, 2, encode_masks(RING)[0])
    answered: dict[str, Any] = {
        "height_px": 10,
        "width_px": 20,
        "num_tiles": 1,
        "problems": [],
        "is_picture": True,
    }
    return AnsweredPicture(name, geo=geo, instances=iter([whole]), **(answered | stated))


def test_a_coco_file_holds_masks_of_the_picture_s_size_and_tells_what_was_not_answered(
    tmp_path: Path,
) -> None:
    pictures = [picture(problems=[(4, "broken")]), picture("b.png")]
    told = json.loads(write_output(tmp_path, "coco", FACTS, pictures).read_text())
    first, second = told["annotations"]

    assert told["categories"] == [{"id": 1, "name": "bolt"}, {"id": 2, "name": "nut"}]
    assert [(one["id"], one["file_name"], one.get("not_answered")) for one in told["images"]] == [
        (1, "a.png", ["tile 4: broken"]),
        (2, "b.png", None),
    ]
    assert (first["image_id"], second["image_id"], first["category_id"]) == (1, 2, 2)
    assert (first["bbox"], first["area"], first["score"], first["iscrowd"]) == ([3, 2, 6, 5], 26, 0.8765, 0)
    mask = decode_masks([rle_from_coco(first["segmentation"], 10, 20)])[0]
    assert np.array_equal(mask[2:7, 3:9], RING[0])
    assert mask.sum() == 26
    assert told["info"]["model_version"] == "3"


def test_a_run_without_pictures_is_a_file_without_pictures(tmp_path: Path) -> None:
    assert json.loads(write_output(tmp_path, "coco", FACTS, []).read_text())["annotations"] == []
    assert json.loads(write_output(tmp_path, "geojson", FACTS, []).read_text())["features"] == []
    assert pq.read_table(write_output(tmp_path, "parquet", FACTS, [])).num_rows == 0


def test_a_picture_too_large_for_coco_names_the_formats_that_hold_it_and_leaves_no_file(
    tmp_path: Path,
) -> None:
    with pytest.raises(DataError, match="--format geojson or --format parquet"):
        write_output(tmp_path, "coco", FACTS, [picture(height_px=40_000, width_px=40_000)])
    assert [*tmp_path.iterdir()] == []


def test_geojson_has_holes_and_coordinates_of_the_map_and_names_their_system(tmp_path: Path) -> None:
    told = json.loads(write_output(tmp_path, "geojson", FACTS, [picture(geo=GEO)]).read_text())
    (feature,) = told["features"]
    outline, hole = feature["geometry"]["coordinates"]

    assert told["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32632"
    assert feature["geometry"]["type"] == "Polygon"
    assert sorted(map(tuple, outline[:-1])) == [
        (1001.5, 1996.5),
        (1001.5, 1999),
        (1004.5, 1996.5),
        (1004.5, 1999),
    ]
    assert outline[0] == outline[-1]
    assert area_of(outline) == 3.0 * 2.5, "counterclockwise, as RFC 7946 has it"
    assert area_of(hole) == -1.0
    assert feature["properties"]["class_name"] == "nut"


def test_geojson_without_a_place_is_in_px_and_names_no_system(tmp_path: Path) -> None:
    told = json.loads(write_output(tmp_path, "geojson", FACTS, [picture()]).read_text())

    assert "crs" not in told
    assert told["features"][0]["properties"]["crs"] == "pixels"
    assert [3.0, 2.0] in told["features"][0]["geometry"]["coordinates"][0]


def test_parquet_has_a_row_for_each_instance_in_px_and_on_the_map(tmp_path: Path) -> None:
    rows = pq.read_table(
        write_output(tmp_path, "parquet", FACTS, [picture(geo=GEO), picture("b.png")])
    ).to_pylist()

    assert [(row["picture"], row["crs"], row["area_px"]) for row in rows] == [
        ("a.png", "EPSG:32632", 26),
        ("b.png", None, 26),
    ]
    assert [rows[0][name] for name in ("map_x0", "map_y0", "map_x1", "map_y1")] == [
        1001.5,
        1996.5,
        1004.5,
        1999,
    ]
    size = rows[0]["mask_height_px"], rows[0]["mask_width_px"]
    mask = rle_from_coco({"size": size, "counts": rows[0]["mask_counts"]}, *size)
    assert np.array_equal(decode_masks([mask])[0], RING[0])


@settings(max_examples=150, deadline=None)
@given(bits=st.lists(st.booleans(), min_size=42, max_size=42))
def test_outlines_and_holes_of_any_mask_are_nested_so_that_the_areas_add_up(bits: list[bool]) -> None:
    mask = np.array(bits).reshape(6, 7)
    polygons = nest_rings(trace_rings(encode_masks(mask[None])[0]))
    areas = [[area_of(ring.tolist()) for ring in polygon] for polygon in polygons]

    assert sum(map(sum, areas)) == mask.sum()
    assert all(
        outer > 0 and all(hole < 0 for hole in holes) and outer > -sum(holes) for outer, *holes in areas
    )


def area_of(ring: list[list[float]]) -> float:
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1], strict=True)) / 2


def test_the_tiles_of_a_scene_become_whole_instances_and_its_problems_are_told() -> None:
    """An object of 4 x 12 px lies over tiles of 10 px that share 4; the third tile has no answer."""
    scene = Scene(10, 22, 10, 4, GEO)
    parts = [(0, 4, 6), (1, 6, 10)]

    def answer(tile: int, left: int, width: int) -> UnitResult:
        mask = encode_masks(np.ones((1, 4, width), bool))[0].to_coco()
        box = (float(left), 3.0, float(left + width), 7.0)
        return UnitResult(
            "s.tif", tile, num_tiles=1, instances=(KeptInstance("nut", 0.9, box, mask, left, 3, 0.0),)
        )

    results = {
        0: ShardResult(0, (UnitResult("a.png", height_px=5, width_px=5, num_tiles=1), answer(*parts[0]))),
        1: ShardResult(1, (answer(*parts[1]), UnitResult("s.tif", 2, error="broken"))),
    }
    shards = [
        Shard(0, (Stretch("a.png"), Stretch("s.tif", scene, 0, 1))),
        Shard(1, (Stretch("s.tif", scene, 1, 2),)),
    ]
    told = [(one, [*one.instances]) for one in assemble(shards, results.__getitem__, ("bolt", "nut"))]
    (whole, none), (found, instances) = told

    assert (whole.name, none, found.name, found.geo) == ("a.png", [], "s.tif", GEO)
    assert [(one.box_xyxy, one.mask.width_px, one.class_name) for one in instances] == [
        ((4, 3, 16, 7), 12, "nut")
    ]
    assert found.problems == [(2, "broken")]


def test_answers_are_taken_as_they_are_needed(tmp_path: Path) -> None:
    asked: list[int] = []

    def pictures() -> Iterator[AnsweredPicture]:
        for number in range(3):
            asked.append(number)
            yield picture(f"{number}.png")

    written = write_output(tmp_path, "parquet", FACTS, pictures())
    assert asked == [0, 1, 2]
    assert pq.read_table(written).column("picture").to_pylist() == ["0.png", "1.png", "2.png"]
