"""Rows 1 and 2: data come in, beside decoding and hashing, Python's json and typed msgspec."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.ingestion.__main__ import NUM_NEW, OWN, measure, warm_up
from benchmarks.ingestion.reading import draw_file
from benchmarks.table.lines import Line, Row
from benchmarks.timing import peak_memory_bytes, take_turns
from dataset.coco.document import read_coco
from dataset.pictures.decoding import decode_picture
from maskloop.digest import digest_bytes

_MEGABYTE: Final = 10**6
_INGEST_SIZES: Final = (0, 2_000, 20_000)
_READ_PICTURES: Final = 8_000


def measure_ingest(quick: bool) -> Row:
    """Ingest 100 pictures into workspaces of growing size, and a first batch beside decoding and hashing."""
    sizes, turns = ((0, 100, 300), 1) if quick else (_INGEST_SIZES, 2)
    with tempfile.TemporaryDirectory(prefix="table-ingest-") as place:
        folder = Path(place)
        warm_up(folder / "own", OWN, folder)
        measured = [measure(size, {"own": OWN}, turns, folder) for size in sizes]
        cpu_s = [statistics.median(row["own"]["CPU s"]) for row in measured]
        lines = [
            Line(
                f"100 pictures into {size:,}, beside into none",
                seconds / cpu_s[0],
                goal=1.3,
                figures={
                    "CPU s": seconds,
                    "into none": cpu_s[0],
                    "largest process, MB": row["own"]["peak memory, MB"],
                },
            )
            for size, seconds, row in zip(sizes[1:], cpu_s[1:], measured[1:], strict=True)
        ]
        slope = (cpu_s[-1] - cpu_s[1]) / (sizes[-1] - sizes[1]) * 1000.0
        lines.append(Line("each 1,000 pictures that are there add", slope, "CPU s"))
        least_s = _decode_and_hash_s(folder / f"first-{sizes[1]}" / "images")
        first_s = measured[1]["own"]["first ingest"]["CPU s"]
        figures = {"CPU s": first_s, "decoding and hashing": least_s}
        lines.append(
            Line(
                f"first {sizes[1]:,}, beside decoding and hashing",
                first_s / least_s,
                goal=1.5,
                figures=figures,
            )
        )
    return Row("ingest", tuple(lines), f"pictures of 128 px; {NUM_NEW} new ones each time")


def _decode_and_hash_s(folder: Path) -> float:
    began = time.process_time()
    for file in sorted(folder.iterdir()):
        data = file.read_bytes()
        digest_bytes(data)
        decode_picture(data, max_mpx=1.0)
    return time.process_time() - began


class _Annotation(msgspec.Struct, gc=False):
    segmentation: msgspec.Raw
    bbox: msgspec.Raw
    image_id: int
    category_id: int
    id: int
    area: float
    iscrowd: int


class _Coco(msgspec.Struct):
    images: list[dict[str, object]]
    annotations: list[_Annotation]
    categories: list[dict[str, object]]


def measure_reading(quick: bool) -> Row:
    """Read a COCO file with Python's json, with msgspec into types alone, and as an ingest does."""
    with tempfile.TemporaryDirectory(prefix="table-reading-") as place:
        file = Path(place) / "annotations.json"
        instances = draw_file(file, 300 if quick else _READ_PICTURES)
        typed = msgspec.json.Decoder(_Coco).decode
        contestants: dict[str, Callable[[], object]] = {
            "json": lambda: json.loads(file.read_bytes()),
            "typed msgspec": lambda: typed(file.read_bytes()),
            "maskloop": lambda: read_coco(file),
        }
        rounds = take_turns(contestants, rounds=3)
        cpu_s = {name: min(seconds) for name, seconds in rounds.cpu_s.items()}
        memory = {name: (peak_memory_bytes(run) or 0) / _MEGABYTE for name, run in contestants.items()}
        size_mb = file.stat().st_size / _MEGABYTE
    seconds = {f"{name}, CPU s": value for name, value in cpu_s.items()}
    return Row(
        "reading an annotation file",
        (
            Line("json's time beside ours", cpu_s["json"] / cpu_s["maskloop"], "x", "at least", 8.0, seconds),
            Line(
                "our memory beside json's",
                memory["maskloop"] / max(memory["json"], 1.0),
                goal=1 / 3,
                figures={f"{name}, MB": value for name, value in memory.items()},
            ),
            Line(
                "our time beside typed msgspec alone, the bound", cpu_s["maskloop"] / cpu_s["typed msgspec"]
            ),
        ),
        f"{size_mb:.0f} MB, {instances:,} polygons; json reads outlines too, ours when they are asked for",
    )
