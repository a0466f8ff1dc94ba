"""The scene that every labelling tool is given, and the files that its exports become.

The scripts of the tools run this in environments of their own: only the standard library, NumPy and Pillow.
Masks are ``(height, width)`` uint8 arrays of 0 and 1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH_PX: Final = 100
HEIGHT_PX: Final = 80
CATEGORIES: Final = {3: "nut", 7: "bolt", 90: "gear"}
SCENE, EMPTY, PHOTO = "scene.png", "empty.png", "photo.jpg"
"""The picture with the objects, one without any, and a photograph of `TURNED` that EXIF turns."""
_ORIENTATION: Final = 0x0112
_TURNED_RIGHT: Final = 6

Mask = NDArray[np.uint8]
Export = Callable[[Path, Path], None]
"""Writes one export of a tool: the folder of the pictures, and the empty folder for its files."""
Reading = Callable[[Path, Path], list[tuple[str, Mask, bool]]]
"""Reads maskloop's COCO with a tool: the folder of the pictures and the file in it. Returns the class, mask
and crowd flag of each object that the tool has then."""


ExportReading = Callable[[Path], list[tuple[str, Mask, bool]]]
"""Reads the scene as `maskloop data export` wrote it, from a copy of its folder; returns the same."""
_OWN_EXPORTS: Final = Path(__file__).resolve().parents[1] / "records" / "exports"


class RefusedError(Exception):
    """A tool does not read maskloop's COCO; the message is the name of what it raised."""


@dataclass(frozen=True)
class DrawnObject:
    """One object of the scene.

    Attributes:
        name: As it is called in tables.
        category_id: A key of `CATEGORIES`.
        blocks: Filled rectangles (left, top, right, bottom), right and bottom outside, in px.
        hole: A rectangle cut out of them, or None.
        is_crowd: It is a region of many objects.
    """

    name: str
    category_id: int
    blocks: tuple[tuple[int, int, int, int], ...]
    hole: tuple[int, int, int, int] | None = None
    is_crowd: bool = False

    def mask(self, height_px: int = HEIGHT_PX, width_px: int = WIDTH_PX) -> Mask:
        """Draw it."""
        mask = np.zeros((height_px, width_px), np.uint8)
        for left, top, right, bottom in self.blocks:
            mask[top:bottom, left:right] = 1
        if self.hole:
            left, top, right, bottom = self.hole
            mask[top:bottom, left:right] = 0
        return mask

    @property
    def polygons(self) -> list[list[tuple[float, float]]]:
        """The outline of each block along the edges of its pixels; a hole has none."""
        return [[(x0, y0), (x1, y0), (x1, y1), (x0, y1)] for x0, y0, x1, y1 in self.blocks]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom; right and bottom outside."""
        lefts, tops, rights, bottoms = zip(*self.blocks, strict=True)
        return min(lefts), min(tops), max(rights), max(bottoms)


OBJECTS: Final = (
    DrawnObject("ring", 3, ((5, 5, 45, 45),), hole=(20, 20, 30, 30)),
    DrawnObject("two", 7, ((55, 5, 65, 15), (75, 5, 85, 15))),
    DrawnObject("dot", 90, ((50, 60, 51, 61),)),
    DrawnObject("crowd", 3, ((5, 55, 35, 70),), is_crowd=True),
    DrawnObject("edge", 90, ((80, 60, 100, 80),)),
)
TURNED: Final = DrawnObject("photo", 7, ((10, 60, 30, 90),))
"""The one object of the photograph, on its upright 80 x 100 px."""


def draw_pictures(folder: Path, names: Sequence[str] = (SCENE, EMPTY)) -> None:
    """Write the pictures of these names into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        _DRAWN_BY[name](folder / name)


def _draw_scene(path: Path) -> None:
    pixels = _background(HEIGHT_PX, WIDTH_PX)
    for number, drawn in enumerate(OBJECTS):
        pixels[drawn.mask() == 1] = (60 + 40 * number, 200 - 30 * number, 40)
    Image.fromarray(pixels).save(path)


def _draw_empty(path: Path) -> None:
    Image.fromarray(_background(HEIGHT_PX, WIDTH_PX)[::-1].copy()).save(path)


def _draw_photo(path: Path) -> None:
    pixels = _background(WIDTH_PX, HEIGHT_PX)
    pixels[TURNED.mask(WIDTH_PX, HEIGHT_PX) == 1] = (230, 60, 40)
    stored = np.rot90(pixels).copy()  # a quarter to the left; orientation 6 turns it back
    exif = Image.Exif()
    exif[_ORIENTATION] = _TURNED_RIGHT
    Image.fromarray(stored).save(path, exif=exif, quality=95)


_DRAWN_BY: Final = {SCENE: _draw_scene, EMPTY: _draw_empty, PHOTO: _draw_photo}


def _background(height_px: int, width_px: int) -> NDArray[np.uint8]:
    grey = 90 + np.arange(height_px)[:, None] // 4 + np.arange(width_px)[None, :] // 5
    return np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)


def coco_document(*, all_rle: bool = False, without: Sequence[str] = ()) -> dict[str, Any]:
    """Return the scene as COCO: what has holes and crowds as RLE, the rest as polygons, or all as RLE."""
    drawn = [each for each in OBJECTS if each.name not in without]
    images = [
        {"id": number, "file_name": name, "width": WIDTH_PX, "height": HEIGHT_PX}
        for number, name in enumerate((SCENE, EMPTY), start=1)
    ]
    return {
        "images": images,
        "annotations": [_annotation(number, each, all_rle) for number, each in enumerate(drawn, start=1)],
        "categories": [{"id": key, "name": name} for key, name in CATEGORIES.items()],
    }


def _annotation(number: int, drawn: DrawnObject, all_rle: bool) -> dict[str, Any]:
    mask = drawn.mask()
    as_rle = all_rle or drawn.hole or drawn.is_crowd
    left, top, right, bottom = drawn.box
    return {
        "id": number,
        "image_id": 1,
        "category_id": drawn.category_id,
        "segmentation": compressed_rle(mask) if as_rle else [_flat(each) for each in drawn.polygons],
        "bbox": [left, top, right - left, bottom - top],
        "area": int(mask.sum()),
        "iscrowd": int(drawn.is_crowd),
    }


def _flat(points: Sequence[tuple[float, float]]) -> list[float]:
    return [number for point in points for number in point]


def compressed_rle(mask: Mask) -> dict[str, Any]:
    """Return COCO's compressed RLE of a mask: lengths of runs, each as the difference to the last but one."""
    flat = mask.ravel(order="F")
    ends = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *ends, flat.size]).tolist()
    runs = [0, *lengths] if flat[0] else lengths  # the first run is of zeros
    told = [run - runs[place - 2] if place > 2 else run for place, run in enumerate(runs)]
    return {"size": list(mask.shape), "counts": "".join(map(_in_characters, told))}


def _in_characters(number: int) -> str:
    """Write a number in groups of five bits, the lowest first; bit 6 says that more follow."""
    text, is_last = "", False
    while not is_last:
        group, number = number & 0x1F, number >> 5
        is_last = number == (-1 if group & 0x10 else 0)
        text += chr(48 + (group if is_last else group | 0x20))
    return text


def save_json(path: Path, document: Any) -> Path:
    """Write JSON, with the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path


def main(
    tool: str,
    exports: Mapping[str, Export],
    *,
    pictures: Mapping[str, Sequence[str]] | None = None,
    reads: Reading | None = None,
    reads_exports: Mapping[str, ExportReading] | None = None,
) -> None:
    """Write the exports of a tool into folders ``TOOL-VARIANT`` of the folder that the command line names.

    Args:
        tool: The tool's name.
        exports: What writes each variant.
        pictures: The pictures of a variant, if they are not the scene and the empty one.
        reads: How it reads maskloop's own COCO; what it found becomes ``TOOL-reads/found.json``.
        reads_exports: How it reads maskloop's exports, by ``--format``; what it found becomes
            ``TOOL-reads-FORMAT/found.json``.
    """
    parser = argparse.ArgumentParser(description=f"Writes the exports of {tool}.")
    parser.add_argument("folder", type=Path)
    target = parser.parse_args().folder.absolute()
    for variant, write in exports.items():
        _keep(write, (pictures or {}).get(variant, (SCENE, EMPTY)), target / f"{tool}-{variant}")
    if reads:
        _keep(_found_by(reads), (SCENE, EMPTY), target / f"{tool}-reads")
    for key, read in (reads_exports or {}).items():
        _keep(_found_in(key, read), (SCENE, EMPTY), target / f"{tool}-reads-{key}")


def _keep(write: Export, names: Sequence[str], target: Path) -> None:
    with _temporary_folder() as folder:
        pictures, made = Path("images"), Path("made")
        draw_pictures(pictures, names)
        copies = [_pixels(pictures / name) for name in names]
        made.mkdir()
        write(pictures, made)
        _without_pictures(made, copies)
        _without_moments(made, folder)
        shutil.copytree(made, target, dirs_exist_ok=True)


def _found_by(read: Reading) -> Export:
    """Write what a tool finds in a COCO file as maskloop keeps it: all RLE, ids from 1."""

    def write(pictures: Path, out: Path) -> None:
        file = save_json(pictures / "annotations" / "instances_default.json", coco_document(all_rle=True))
        try:
            _save_found(out, read(pictures, file))
        except RefusedError as refused:
            save_json(out / "found.json", {"error": str(refused)})

    return write


def _found_in(key: str, read: ExportReading) -> Export:
    """Write what a tool finds in an export of maskloop."""

    def write(_pictures: Path, out: Path) -> None:
        _save_found(out, read(Path(shutil.copytree(_OWN_EXPORTS / key, "export"))))

    return write


def _save_found(out: Path, objects: Sequence[tuple[str, Mask, bool]]) -> None:
    found = [
        {"class": name, "mask": compressed_rle(mask), "is_crowd": is_crowd}
        for name, mask, is_crowd in objects
    ]
    save_json(out / "found.json", {"found": found})


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Work in a folder that is removed: tools then write relative paths."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def _without_pictures(folder: Path, pictures: Sequence[NDArray[np.uint8]]) -> None:
    """Remove copies of the pictures and folders left empty: all exports share the same pictures."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.suffix in (".png", ".jpg") and any(np.array_equal(_pixels(path), each) for each in pictures):
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


_MOMENTS: Final = (
    (re.compile(r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?"), "2026-01-01 00:00:00"),
    (re.compile(r'("date_captured": ")[^"]+'), r"\g<1>01/01/2026,00:00:00"),
    (re.compile(r'("year": )\d+'), r"\g<1>2026"),
    (re.compile(r'("color": ?")#[0-9a-fA-F]{6}'), r"\g<1>#000000"),
)
"""What differs each time a tool writes, and what stands for it."""


def _without_moments(folder: Path, root: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix in (".json", ".xml", ".txt", ".yaml"):
            text = path.read_text(encoding="utf-8").replace(f"{root}/", "")
            for pattern, instead in _MOMENTS:
                text = pattern.sub(instead, text)
            path.write_text(text, encoding="utf-8")
