"""Label Studio's exports of the scene, by the converter that its server and its SDK share."""

from __future__ import annotations

import base64
import io
import json
import logging
from pathlib import Path
from typing import Any, Final

import numpy as np
from label_studio_sdk.converter import Converter
from label_studio_sdk.converter.brush import decode_rle, mask2rle
from label_studio_sdk.converter.imports.coco import convert_coco_to_ls
from label_studio_sdk.label_interface.control_tags import BitmaskLabelsValue
from PIL import Image

from tests.label_tools import scene
from tests.label_tools.scene import CATEGORIES, EMPTY, OBJECTS, PHOTO, SCENE, TURNED, DrawnObject

_CONFIG: Final = """<View><Image name="image" value="$image"/>
<BrushLabels name="brush" toName="image">{labels}</BrushLabels>
<BitmaskLabels name="bitmask" toName="image">{labels}</BitmaskLabels>
<PolygonLabels name="outline" toName="image">{labels}</PolygonLabels></View>""".format(
    labels="".join(f'<Label value="{name}"/>' for name in CATEGORIES.values())
)
_UPLOADS: Final = "/data/upload/1/0a1b2c3d-"
"""What the server puts before the name of an uploaded picture."""


def brushed(drawn: DrawnObject) -> list[dict[str, Any]]:
    """Return one object painted with the brush, as the editor stores it."""
    rle = mask2rle(drawn.mask() * np.uint8(255))
    return [_region(drawn, "brush", {"format": "rle", "rle": rle})]


def bitmasked(drawn: DrawnObject) -> list[dict[str, Any]]:
    """Return one object painted with the bitmask tool: black on a transparent canvas of its size."""
    canvas = np.zeros((80, 100, 4), np.uint8)
    canvas[..., 3] = drawn.mask() * 255
    png = io.BytesIO()
    Image.fromarray(canvas, "RGBA").save(png, format="PNG")
    address = f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
    region = _region(drawn, "bitmask", {"imageDataURL": address})
    BitmaskLabelsValue.model_validate(region["value"])
    return [region]


def outlined(drawn: DrawnObject) -> list[dict[str, Any]]:
    """Return one object drawn as polygons, one region for each part, as the editor stores it."""
    return [
        _region(drawn, "outline", {"points": _percent(points, 100, 80), "closed": True}, part)
        for part, points in enumerate(drawn.polygons)
    ]


def _region(drawn: DrawnObject, control: str, value: dict[str, Any], part: int = 0) -> dict[str, Any]:
    kind = {"brush": "brushlabels", "outline": "polygonlabels", "bitmask": "bitmasklabels"}[control]
    return {
        "id": f"{drawn.name}{part}",
        "from_name": control,
        "to_name": "image",
        "type": kind,
        "origin": "manual",
        "original_width": 100,
        "original_height": 80,
        "image_rotation": 0,
        "value": {**value, kind: [CATEGORIES[drawn.category_id]]},
    }


def _percent(points: list[tuple[float, float]], width_px: int, height_px: int) -> list[list[float]]:
    return [[100 * x / width_px, 100 * y / height_px] for x, y in points]


def _task(number: int, name: str, *results: list[dict[str, Any]]) -> dict[str, Any]:
    annotations = [
        {
            "id": 10 * number + person,
            "completed_by": person,
            "was_cancelled": False,
            "ground_truth": False,
            "created_at": f"2026-01-01T00:00:0{person}.000000Z",
            "lead_time": 1.0,
            "result": result,
        }
        for person, result in enumerate(results, start=1)
    ]
    return {"id": number, "data": {"image": f"{_UPLOADS}{name}"}, "annotations": annotations, "project": 1}


def _scene_tasks(*results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [_task(1, SCENE, *results), _task(2, EMPTY, [])]


def _painted() -> list[dict[str, Any]]:
    return [region for drawn in OBJECTS for region in brushed(drawn)]


def _drawn() -> list[dict[str, Any]]:
    return [region for drawn in OBJECTS for region in outlined(drawn)]


def _painted_but_the_edge() -> list[dict[str, Any]]:
    return [
        region
        for drawn in OBJECTS
        for region in (outlined(drawn) if drawn.name == "edge" else brushed(drawn))
    ]


def _a_second_persons() -> list[dict[str, Any]]:
    """Return the scene by somebody who painted the edge object 2 px too small."""
    smaller = DrawnObject("edge", 90, ((82, 62, 100, 80),))
    return [region for drawn in (*OBJECTS[:-1], smaller) for region in brushed(drawn)]


def _photo_tasks() -> list[dict[str, Any]]:
    """Return the photograph: a browser shows it upright, so per cents and sizes are upright."""
    (region,) = outlined(TURNED)
    region |= {"original_width": 80, "original_height": 100}
    region["value"]["points"] = _percent(TURNED.polygons[0], 80, 100)
    return [_task(1, PHOTO, [region])]


def _photo_painted() -> list[dict[str, Any]]:
    rle = mask2rle(TURNED.mask(100, 80) * np.uint8(255))
    region = _region(TURNED, "brush", {"format": "rle", "rle": rle})
    return [_task(1, PHOTO, [region | {"original_width": 80, "original_height": 100}])]


def _json(tasks: list[dict[str, Any]]) -> scene.Export:
    return lambda _, out: _save(out / "project-1.json", tasks)


def _converted(tasks: list[dict[str, Any]], format_name: str) -> scene.Export:
    def write(pictures: Path, out: Path) -> None:
        uploads = Path("upload/1")
        uploads.mkdir(parents=True)
        for picture in pictures.iterdir():
            (uploads / f"0a1b2c3d-{picture.name}").write_bytes(picture.read_bytes())
        _save(Path("tasks.json"), tasks)
        converter = Converter(_CONFIG, ".", upload_dir="upload", download_resources=False)
        converter.convert("tasks.json", str(out), format_name, is_dir=False)
        for picture in out.rglob("0a1b2c3d-*"):
            if picture.suffix in (".png", ".jpg"):
                picture.unlink()

    return write


def _save(path: Path, tasks: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(tasks), encoding="utf-8")


def read(pictures: Path, file: Path) -> list[tuple[str, scene.Mask, bool]]:
    """Convert COCO to tasks; a brush region would be an object."""
    try:
        convert_coco_to_ls(str(file), "imported.json", use_super_categories=False)
    except TypeError as error:
        raise scene.RefusedError("TypeError") from error
    tasks = json.loads(Path("imported.json").read_text(encoding="utf-8"))
    raise AssertionError(f"it reads RLE now, so measure what it makes of it: {tasks}")


def _read_export(folder: Path) -> list[tuple[str, scene.Mask, bool]]:
    """Decode the brushes; a painted pixel's alpha is 255."""
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    task = next(each for each in tasks if each["data"]["image"].endswith(SCENE))
    found = []
    for region in task["annotations"][0]["result"]:
        height, width = region["original_height"], region["original_width"]
        alpha = decode_rle(region["value"]["rle"]).reshape(height, width, 4)[..., 3]
        found.append((region["value"]["brushlabels"][0], (alpha == 255).astype(np.uint8), False))
    return found


EXPORTS: Final[dict[str, scene.Export]] = {
    "json-brush": _json(_scene_tasks(_painted())),
    "json-polygons": _json(_scene_tasks(_drawn())),
    "json-two-annotators": _json(_scene_tasks(_painted(), _a_second_persons())),
    "json-bitmask": _json(_scene_tasks([region for drawn in OBJECTS for region in bitmasked(drawn)])),
    "json-min-brush": _converted(_scene_tasks(_painted()), "JSON_MIN"),
    "json-min-polygons": _converted(_scene_tasks(_drawn()), "JSON_MIN"),
    "json-min-two-annotators": _converted(_scene_tasks(_painted(), _a_second_persons()), "JSON_MIN"),
    "json-photo": _json(_photo_tasks()),
    "json-photo-brush": _json(_photo_painted()),
    "coco-brush": _converted(_scene_tasks(_painted()), "COCO_WITH_IMAGES"),
    "coco-polygons": _converted(_scene_tasks(_drawn()), "COCO_WITH_IMAGES"),
    "coco-polygons-and-brush": _converted(_scene_tasks(_painted_but_the_edge()), "COCO_WITH_IMAGES"),
    "coco-two-annotators": _converted(_scene_tasks(_drawn(), _drawn()), "COCO_WITH_IMAGES"),
    "coco-photo": _converted(_photo_tasks(), "COCO_WITH_IMAGES"),
    "brush-to-coco": _converted(_scene_tasks(_painted()), "BRUSH_TO_COCO"),
    "brush-to-coco-photo": _converted(_photo_painted(), "BRUSH_TO_COCO"),
    "yolo-polygons": _converted(_scene_tasks(_drawn()), "YOLO_WITH_IMAGES"),
}

if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    photos = {name: [PHOTO] for name in EXPORTS if "photo" in name}
    scene.main(
        "label-studio", EXPORTS, pictures=photos, reads=read, reads_exports={"label-studio": _read_export}
    )
