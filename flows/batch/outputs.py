"""The answers of a run as one file, COCO, GeoJSON or Parquet: complete or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flows.batch.assembly import AnsweredPicture, WholeInstance
from flows.batch.batch_folder import BatchFacts
from flows.batch.geojson import write_geojson
from flows.runs.coco_file import describe_instance, write_coco_file
from maskloop.errors import DataError
from maskloop.files import written_atomically
from maskloop.masks import MAX_AREA_PX, MAX_SIDE_PX, Rle, areas_px, crop_mask, place_mask

Writer = Callable[[IO[bytes], BatchFacts, Iterable[AnsweredPicture]], None]
_ROWS_AT_ONCE: Final = 10_000


def write_output(folder: Path, wanted: str, facts: BatchFacts, pictures: Iterable[AnsweredPicture]) -> Path:
    """Write the answers in a format; return the file.

    Args:
        folder: Where it goes.
        wanted: ``coco``, ``geojson`` or ``parquet``.
        facts: What the run is.
        pictures: All of them; each is asked for once.

    Raises:
        DataError: if the format cannot hold a picture.
        StorageError: if it cannot be written.
    """
    ending, write = OUTPUTS[wanted]
    path = folder / f"predictions{ending}"
    with written_atomically(path) as beside, beside.open("wb") as file:
        write(file, facts, pictures)
    return path


def write_coco(file: IO[bytes], facts: BatchFacts, pictures: Iterable[AnsweredPicture]) -> None:
    """Write a COCO file: annotations with scores, ids from 1, and the pictures that could be read.

    Raises:
        DataError: if a picture is too large for masks of its size.
    """
    read = (picture for picture in pictures if picture.height_px)
    rows = (
        (
            {"file_name": one.name, "width": one.width_px, "height": one.height_px} | _say_problems(one),
            (_annotate(one, instance) for instance in one.instances),
        )
        for one in read
    )
    write_coco_file(file, describe_run(facts), facts.class_names, rows)


def write_parquet(file: IO[bytes], facts: BatchFacts, pictures: Iterable[AnsweredPicture]) -> None:
    """Write one row for each instance; see docs/batch.md for the columns."""
    about = {"maskloop": json.dumps(describe_run(facts))}
    with pq.ParquetWriter(file, _COLUMNS.with_metadata(about), compression="zstd") as writer:
        for rows in _in_blocks(_rows(pictures)):
            writer.write_table(pa.Table.from_pylist(rows, schema=_COLUMNS))


def describe_run(facts: BatchFacts) -> dict[str, Any]:
    """Return which model answered, and how."""
    return {
        "description": "Answers of maskloop batch",
        "model_version": facts.version,
        "weights_digest": facts.weights_digest,
        "tile_px": facts.tile_px,
        "overlap_px": facts.overlap_px,
        "code_revision": facts.code_revision,
    }


def _annotate(picture: AnsweredPicture, one: WholeInstance) -> dict[str, Any]:
    return describe_instance(one.class_name, one.score, one.box_xyxy, _whole_mask(picture, one))


def _whole_mask(picture: AnsweredPicture, one: WholeInstance) -> Rle:
    height, width = picture.height_px, picture.width_px
    if (one.mask.height_px, one.mask.width_px) == (height, width):
        return one.mask
    if max(height, width) > MAX_SIDE_PX or height * width > MAX_AREA_PX:
        raise DataError(
            f"COCO's masks are as large as their picture, and {width} x {height} px are too large for that",
            where=picture.name,
            hint="the same command with --format geojson or --format parquet writes what is answered already",
        )
    return place_mask(
        crop_mask(one.mask)[2], left_px=one.left_px, top_px=one.top_px, height_px=height, width_px=width
    )


def _say_problems(picture: AnsweredPicture) -> dict[str, Any]:
    if not picture.problems:
        return {}
    told = [reason if tile is None else f"tile {tile}: {reason}" for tile, reason in picture.problems]
    return {"not_answered": told}


_COLUMNS: Final = pa.schema(
    [
        ("picture", pa.string()),
        ("class_name", pa.string()),
        ("score", pa.float32()),
        ("box_x0", pa.float64()),
        ("box_y0", pa.float64()),
        ("box_x1", pa.float64()),
        ("box_y1", pa.float64()),
        ("area_px", pa.int64()),
        ("mask_left_px", pa.int32()),
        ("mask_top_px", pa.int32()),
        ("mask_height_px", pa.int32()),
        ("mask_width_px", pa.int32()),
        ("mask_counts", pa.string()),
        ("crs", pa.string()),
        ("map_x0", pa.float64()),
        ("map_y0", pa.float64()),
        ("map_x1", pa.float64()),
        ("map_y1", pa.float64()),
    ]
)


def _rows(pictures: Iterable[AnsweredPicture]) -> Iterator[dict[str, Any]]:
    for picture in pictures:
        for one in picture.instances:
            x0, y0, x1, y1 = one.box_xyxy
            row = {"picture": picture.name, "class_name": one.class_name, "score": one.score}
            row |= {"box_x0": x0, "box_y0": y0, "box_x1": x1, "box_y1": y1}
            row |= {"area_px": int(areas_px([one.mask])[0]), "mask_counts": one.mask.counts.decode("ascii")}
            row |= {"mask_left_px": one.left_px, "mask_top_px": one.top_px}
            row |= {"mask_height_px": one.mask.height_px, "mask_width_px": one.mask.width_px}
            if picture.geo:
                corners = picture.geo.locate(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))
                (left, low), (right, high) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
                row |= {
                    "crs": picture.geo.crs,
                    "map_x0": left,
                    "map_y0": low,
                    "map_x1": right,
                    "map_y1": high,
                }
            yield row


def _in_blocks(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    block: list[dict[str, Any]] = []
    for row in rows:
        block.append(row)
        if len(block) == _ROWS_AT_ONCE:
            yield block
            block = []
    yield block


OUTPUTS: Final[dict[str, tuple[str, Writer]]] = {
    "coco": (".coco.json", write_coco),
    "geojson": (".geojson", lambda file, facts, pictures: write_geojson(file, describe_run(facts), pictures)),
    "parquet": (".parquet", write_parquet),
}
"""By name: the ending of the file, and what writes it."""
