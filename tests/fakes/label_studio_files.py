"""What Label Studio's JSON export holds, written as the editor and the server write it."""

from __future__ import annotations

import io
from base64 import b64encode
from itertools import pairwise
from typing import Any, Final

import numpy as np
from PIL import Image

from tests.fakes.label_scene import HEIGHT_PX, WIDTH_PX, Mask, SceneObject, corners, rectangles_of

_LENGTH_BITS: Final = (3, 4, 8, 16)


def encode_brush(mask: Mask, colour: tuple[int, int, int, int] = (255, 255, 255, 255)) -> list[int]:
    """Return a painted mask as Label Studio's stream of bits: the colour where it is, 0 elsewhere."""
    values = np.where(mask[..., None], colour, 0).astype(np.uint8).ravel()
    bits = [format(values.size, "032b"), "00111", *(format(size - 1, "04b") for size in _LENGTH_BITS)]
    starts = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), values.size]
    singles: list[int] = []
    for start, stop in pairwise(starts):
        if stop - start == 1:
            singles.append(int(values[start]))
            continue
        bits += _pieces(singles, len(singles), is_repeated=False)
        singles = []
        bits += _pieces([int(values[start])], stop - start, is_repeated=True)
    text = "".join([*bits, *_pieces(singles, len(singles), is_repeated=False)])
    return [int(text[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(text), 8)]


def _pieces(values: list[int], length: int, *, is_repeated: bool) -> list[str]:
    pieces = []
    while length:
        taken = min(length, 2**16)
        choice = next(number for number, size in enumerate(_LENGTH_BITS) if taken <= 2**size)
        pieces.append(f"{int(is_repeated)}{choice:02b}" + format(taken - 1, f"0{_LENGTH_BITS[choice]}b"))
        pieces += [format(value, "08b") for value in (values if is_repeated else values[:taken])]
        values = values if is_repeated else values[taken:]
        length -= taken
    return pieces


def region(
    number: int, kind: str, label: str, size_wh: tuple[int, int] = (WIDTH_PX, HEIGHT_PX), **value: Any
) -> dict[str, Any]:
    """Return one result of an annotation, e.g. of the kind ``brush``."""
    return {
        "id": f"r{number}",
        "from_name": "label",
        "to_name": "image",
        "type": f"{kind}labels",
        "origin": "manual",
        "original_width": size_wh[0],
        "original_height": size_wh[1],
        "image_rotation": 0,
        "value": {**value, f"{kind}labels": [label]},
    }


def brushed(number: int, label: str, mask: Mask) -> dict[str, Any]:
    height, width = mask.shape
    return region(number, "brush", label, (width, height), format="rle", rle=encode_brush(mask))


def bitmasked(number: int, label: str, mask: Mask) -> dict[str, Any]:
    """Return what the bitmask tool writes: a PNG in a data URL, black on a transparent canvas."""
    canvas = np.zeros((*mask.shape, 4), np.uint8)
    canvas[..., 3] = mask * 255
    png = io.BytesIO()
    Image.fromarray(canvas).save(png, format="PNG")
    address = f"data:image/png;base64,{b64encode(png.getvalue()).decode()}"
    height, width = mask.shape
    return region(number, "bitmask", label, (width, height), imageDataURL=address)


def minimal(
    number: int, image: str, annotation_id: int | None, results: list[dict[str, Any]], by: int = 1
) -> dict[str, Any]:
    """Return a record of JSON-MIN: the values of the results, without their ids and types."""
    sizes = ("original_width", "original_height")
    drawn = [{**one["value"], **{size: one[size] for size in sizes}} for one in results]
    at = f"2026-01-{annotation_id or 1:02d}T10:00:00.000000Z"
    told = {"annotator": by, "annotation_id": annotation_id, "created_at": at, "updated_at": at}
    return {"image": image, "id": number, **({"label": drawn} if drawn else {}), **told, "lead_time": 12.5}


def outlined(number: int, one: SceneObject) -> dict[str, Any]:
    """Return an object's only block as a polygon, in per cent."""
    (block,) = rectangles_of(one.mask)
    points = [[100 * x / WIDTH_PX, 100 * y / HEIGHT_PX] for x, y in corners(*block)]
    return region(number, "polygon", one.class_name, points=points, closed=True)


def annotation(number: int, results: list[dict[str, Any]], by: Any = 1, **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "completed_by": by,
        "result": results,
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": f"2026-01-{number:02d}T10:00:00.000000Z",
        "updated_at": f"2026-01-{number:02d}T10:00:00.000000Z",
        "lead_time": 12.5,
        **changes,
    }


def task(number: int, image: str, *annotations: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "annotations": list(annotations),
        "drafts": [],
        "predictions": [],
        "data": {"image": image},
        "meta": {},
        "project": 1,
        **changes,
    }
