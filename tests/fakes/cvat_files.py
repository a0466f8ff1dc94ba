"""CVAT for images XML, written as CVAT writes it."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from tests.fakes.label_scene import (
    CLASSES,
    EMPTY_PICTURE,
    HEIGHT_PX,
    PICTURE,
    SCENE,
    WIDTH_PX,
    SceneObject,
    corners,
    rectangles_of,
    runs_by_row,
)

META = """<meta><task><id>7</id><name>Monday</name><labels>{labels}</labels>
<assignee><username>ann</username></assignee><updated>2026-11-30 10:00:00</updated></task></meta>"""


def element(tag: str, body: str = "", **attributes: object) -> str:
    told = " ".join(f"{name}={quoteattr(str(value))}" for name, value in attributes.items())
    return f"<{tag} {told}>{body}</{tag}>"


def mask_of(one: SceneObject) -> str:
    rows, columns = np.where(one.mask.any(axis=1))[0], np.where(one.mask.any(axis=0))[0]
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    runs = ", ".join(map(str, runs_by_row(one.mask[top:bottom, left:right])))
    box = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    crowd = element("attribute", "true", name="is_crowd") if one.is_crowd else ""
    return element("mask", crowd, label=one.class_name, rle=runs, z_order=0, occluded=0, **box)


def polygons_of(one: SceneObject, group: int) -> str:
    outlines = (
        ";".join(f"{x:.2f},{y:.2f}" for x, y in corners(*rectangle)) for rectangle in rectangles_of(one.mask)
    )
    return "".join(
        element("polygon", label=one.class_name, points=points, group_id=group) for points in outlines
    )


def image(shapes: str = "", name: str = PICTURE, **attributes: object) -> str:
    size = {"width": WIDTH_PX, "height": HEIGHT_PX}
    return element("image", shapes, **({"id": 0, "name": name, "task_id": 7} | size | attributes))


def document(*images: str, labels: tuple[str, ...] = CLASSES) -> str:
    names = "".join(f"<label><name>{name}</name></label>" for name in labels)
    head = f"<?xml version='1.0' encoding='utf-8'?><annotations><version>1.1</version>{META}"
    return head.replace("{labels}", names) + "".join(images) + "</annotations>"


def write_masks(folder: Path) -> None:
    """Write the scene with a brush."""
    images = image("".join(map(mask_of, SCENE))), image(name=EMPTY_PICTURE, id=1)
    (folder / "annotations.xml").write_text(document(*images))


def write_polygons(folder: Path) -> None:
    """Write all of the scene that polygons hold."""
    shapes = (polygons_of(one, group) for group, one in enumerate(SCENE, start=1) if one.name != "ring")
    images = image("".join(shapes)), image(name=EMPTY_PICTURE, id=1)
    (folder / "annotations.xml").write_text(document(*images))
