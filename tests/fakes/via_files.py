"""Labels of the VGG Image Annotator, versions 1 to 3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fakes.label_scene import EMPTY_PICTURE, PICTURE, SCENE, SceneObject, corners, rectangles_of


def outlines() -> list[tuple[str, list[tuple[float, float]]]]:
    found = [("nut", corners(5, 5, 40, 40))]
    return found + [
        (one.class_name, corners(*rectangle)) for one in SCENE[1:] for rectangle in rectangles_of(one.mask)
    ]


def region(shape: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes}


def polygon(outline: list[tuple[float, float]]) -> dict[str, Any]:
    xs, ys = zip(*outline, strict=True)
    return {"name": "polygon", "all_points_x": [*xs], "all_points_y": [*ys]}


REGIONS = [region(polygon(outline), kind=class_name) for class_name, outline in outlines()]


def picture(regions: Any, name: str = PICTURE) -> dict[str, Any]:
    return {f"{name}1234": {"filename": name, "size": 1234, "regions": regions, "file_attributes": {}}}


def version_3() -> dict[str, Any]:
    metadata = {
        f"1_{number}": {
            "vid": "1",
            "flg": 0,
            "z": [],
            "xy": [7, *(side for corner in outline for side in corner)],
            "av": {"1": {"nut": "0", "bolt": "1", "gear": "2"}[class_name]},
        }
        for number, (class_name, outline) in enumerate(outlines())
    }
    metadata["2_said"] = {"vid": "2", "flg": 0, "z": [], "xy": [], "av": {"2": "dark"}}
    files = {"1": PICTURE, "2": EMPTY_PICTURE}
    return {
        "project": {"pname": "scene"},
        "attribute": {"1": {"aname": "kind", "options": {"0": "nut", "1": "bolt", "2": "gear"}}},
        "file": {key: {"fid": key, "fname": name, "src": name} for key, name in files.items()},
        "view": {"1": {"fid_list": ["1"]}, "2": {"fid_list": ["2"]}},
        "metadata": metadata,
    }


VERSIONS = {
    "a project of version 2": {
        "_via_settings": {},
        "_via_img_metadata": picture(REGIONS) | picture([], EMPTY_PICTURE),
        "_via_attributes": {},
    },
    "an export of version 2": picture(REGIONS) | picture([], EMPTY_PICTURE),
    "version 1": picture({str(n): one for n, one in enumerate(REGIONS)}) | picture({}, EMPTY_PICTURE),
    "version 3": version_3(),
}


def write_regions(folder: Path) -> None:
    """Write all of the scene that outlines of one part hold."""
    whole = [region(polygon(corners(*block)), kind=one.class_name) for one, block in _whole()]
    (folder / "via_export_json.json").write_text(json.dumps(picture(whole) | picture([], EMPTY_PICTURE)))


def _whole() -> Iterator[tuple[SceneObject, tuple[int, int, int, int]]]:
    for one in SCENE:
        if one.name not in ("ring", "two"):
            yield one, rectangles_of(one.mask)[0]
