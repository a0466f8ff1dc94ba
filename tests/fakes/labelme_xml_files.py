"""What MIT's LabelMe writes: Annotations/FOLDER/NAME.xml beside Images/FOLDER and Masks/FOLDER."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from dataset.pictures.decoding import encode_png
from tests.fakes.label_scene import (
    EMPTY_PICTURE,
    HEIGHT_PX,
    PICTURE,
    SCENE,
    WIDTH_PX,
    Mask,
    corners,
    rectangles_of,
)

FOLDER = "line"


def polygon(points: Sequence[tuple[float, float]], user: str = "ada") -> str:
    inside = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in points)
    return f"<polygon><username>{user}</username>{inside}</polygon>"


def segm(mask: Mask, folder: Path, name: str) -> str:
    """Write a mask's file; return what stands in the XML."""
    (folder / "Masks" / FOLDER).mkdir(parents=True, exist_ok=True)
    pixels = np.repeat(mask[:, :, None] * np.uint8(200), 3, axis=2)
    (folder / "Masks" / FOLDER / name).write_bytes(encode_png(pixels))
    return f"<segm><username>ada</username><mask>{name}</mask></segm>"


def thing(
    number: int, name: str, shape: str, *, parent: str = "", deleted: int = 0, attributes: str = ""
) -> str:
    return (
        f"<object><name>\n{escape(name)}\n</name><deleted>{deleted}</deleted><date>01-Jan-2026</date>"
        f"<id>{number}</id><parts><hasparts></hasparts><ispartof>{parent}</ispartof></parts>{shape}"
        f"<attributes>{attributes}</attributes></object>"
    )


def write_page(folder: Path, picture: str, *things: str, size: bool = True) -> Path:
    sides = f"<imagesize><nrows>{HEIGHT_PX}</nrows><ncols>{WIDTH_PX}</ncols></imagesize>" if size else ""
    file = folder / "Annotations" / FOLDER / f"{Path(picture).stem}.xml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        f"<annotation><filename>\n{escape(picture)}\n</filename><folder>\n{FOLDER}\n</folder><source>"
        "<sourceImage>The MIT-CSAIL database of objects and scenes</sourceImage>"
        f"<sourceAnnotation>LabelMe Webtool</sourceAnnotation></source>{''.join(things)}{sides}</annotation>",
        encoding="utf-8",
    )
    return file


def write_masks(folder: Path) -> None:
    things = [
        thing(
            number,
            one.class_name,
            segm(one.mask, folder, f"scene_mask_{number}.png"),
            attributes="is_crowd=True" if one.is_crowd else "",
        )
        for number, one in enumerate(SCENE)
    ]
    write_page(folder, PICTURE, *things)
    write_page(folder, EMPTY_PICTURE)


def write_polygons(folder: Path) -> None:
    things: list[str] = []
    for one in SCENE:
        if one.name == "ring":
            continue
        first = str(len(things))
        for number, block in enumerate(rectangles_of(one.mask)):
            parent = first if number else ""
            things.append(thing(len(things), one.class_name, polygon(corners(*block)), parent=parent))
    write_page(folder, PICTURE, *things)
    write_page(folder, EMPTY_PICTURE)
