"""Label Studio's own JSON: exports of a project, and the files that it writes to a target storage.

Its COCO exports lose brush masks or fill their holes; this format has them as they were painted. Outlines are
in per cent of the picture as a browser shows it, upright. Predictions and drafts are no labels.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from dataset.coco.document import CocoFile
from dataset.formats.brushes import read_brush
from dataset.formats.collecting import Collector, Part
from dataset.formats.filled_shapes import draw_ellipse
from dataset.formats.label_studio_tasks import (
    annotator_id,
    annotator_of,
    finished_annotations,
    has_tasks,
    is_by,
    is_minimal,
    rank_annotations,
    tasks_of,
    time_of,
)
from dataset.formats.picture_sizes import mask_decoder
from dataset.formats.port import LabelReader, LabelSource, is_called_picture, own_name
from dataset.formats.typed_json import as_dict, as_list, as_number, as_side, as_text
from dataset.pictures.sandbox import SandboxedDecoder
from maskloop.errors import DataError, MaskError, PictureError
from maskloop.masks import Rle, encode_masks
from maskloop.wording import count

_TOOL: Final = "Label Studio"
_FORMAT: Final = "Label Studio JSON"
_UPLOAD_PREFIX: Final = re.compile(r"^[0-9a-f]{8}-(?=.)")
_NOT_DRAWN: Final = frozenset({"choices", "textarea", "rating", "number", "taxonomy", "pairwise", "ranker"})
_NAMES_SHOWN: Final = 5


def recognises(source: LabelSource) -> bool:
    """Tell whether tasks of Label Studio are there."""
    return any(has_tasks(source, name) for name in source.pick("json"))


def read(source: LabelSource) -> CocoFile:
    """Read every task; of several annotations of a task one counts, see `rank_annotations`.

    Raises:
        DataError: if there is no task, or no annotation by the annotator that a person named.
    """
    files = [*source.files] if source.is_file else [n for n in source.pick("json") if has_tasks(source, n)]
    tasks = [task for name in files for task in tasks_of(source.json(name))]
    if not tasks:
        hint = 'in Label Studio choose Export, then "JSON"'
        raise DataError("there are no tasks of Label Studio", where=str(source.named), hint=hint)
    collector = Collector(_FORMAT, _TOOL)
    if source.annotator:
        _refuse_unknown(source, tasks)
    if any(is_minimal(source.json(name)) for name in files):
        message = "JSON-MIN does not tell what is ground truth, nor which pictures were turned in the editor"
        collector.tell("info", "json-min", files[0], message, 'in Label Studio choose Export, then "JSON"')
    labelled = [(task, ranked) for task in tasks if (ranked := rank_annotations(task, source.annotator))]
    _tell_unlabelled(len(tasks) - len(labelled), collector)
    addresses = [_picture_address(task) for task, _ in labelled]
    names, images_dir = source.choose_names(_ways_to_name(addresses), beside=files[0])
    with mask_decoder() as decoder:
        for name, (task, ranked) in zip(names, labelled, strict=True):
            _tell_others(name, task, ranked, source.annotator, collector)
            _read_annotation(name, task, ranked[0], decoder, collector)
    return collector.finish(source.stands_for(files[0]), images_dir)


READER: Final = LabelReader("label-studio", _FORMAT, recognises, read, chooses_annotators=True)


def _refuse_unknown(source: LabelSource, tasks: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a name that no annotation has. Raises DataError."""
    finished = [each for task in tasks for each in finished_annotations(task)]
    if any(is_by(each, source.annotator) for each in finished):
        return
    known = sorted({annotator_of(each) for each in finished} - {""})[:_NAMES_SHOWN]
    hint = f"it has annotations by {', '.join(known)}" if known else "it does not tell who annotated"
    raise DataError(f"no annotation is by {source.annotator!r}", where=str(source.named), hint=hint)


def _tell_others(
    name: str, task: Mapping[str, Any], ranked: Sequence[Mapping[str, Any]], wanted: str, collector: Collector
) -> None:
    if len(ranked) < 2:
        return
    first, *others = [annotator_of(each) or "somebody" for each in ranked]
    why = "it is marked as ground truth" if ranked[0].get("ground_truth") else "it is the newest"
    if wanted and is_by(ranked[0], wanted):
        why = "you named them"
    message = f"{count(len(ranked), 'annotation')} of one picture: that by {first} counts, because {why}"
    message += f"; left out: by {', '.join(others)}"
    hint = "to let another one count, name its annotator with --annotator, or mark it as ground truth"
    collector.tell("warning", "two-annotators", _place(task), message, hint, example=name)


def _tell_unlabelled(number: int, collector: Collector) -> None:
    if number:
        message = f"{count(number, 'task')} without a finished annotation left out, with their pictures"
        hint = "submit an empty annotation where a picture shows no object"
        collector.tell("warning", "tasks-unlabelled", "/", message, hint)


def _read_annotation(
    name: str,
    task: Mapping[str, Any],
    annotation: Mapping[str, Any],
    decoder: SandboxedDecoder,
    collector: Collector,
) -> None:
    told = {
        "tool": _TOOL,
        "task": as_text(task.get("id")),
        "annotator": annotator_id(annotation),
        "time": time_of(annotation),
    }
    origin = {key: value for key, value in told.items() if value}
    parts: list[Part] = []
    sizes: dict[tuple[int, int], str] = {}
    for region in _regions_of(annotation["result"], _place(task)):
        try:
            parts.append(_part(region, origin, decoder))
            sizes[region.size_hw] = region.where
        except (MaskError, PictureError) as error:
            collector.refuse(name, "bad-region", region.where, error.headline, error.hint)
    if len(sizes) > 1:
        message = "the regions of one picture were drawn on pictures of different sizes"
        collector.refuse(name, "size-mismatch", _place(task), message, "one task must have one picture")
    collector.add_picture(name, next(iter(sizes), None), parts, frame="upright", origin=origin)


@dataclass(frozen=True)
class _Region:
    """What was drawn and said about one region; the editor writes each control's part as a result of its own.

    Attributes:
        where: Its place.
        results: At least one, each with a dictionary as its ``value``.
    """

    where: str
    results: Sequence[Mapping[str, Any]]

    @property
    def size_hw(self) -> tuple[int, int]:
        """Of the picture it was drawn on. Raises MaskError if it does not tell."""
        first = self.results[0]
        height, width = (as_side(first.get(f"original_{side}")) for side in ("height", "width"))
        if not height or not width:
            raise MaskError("the region lacks original_width and original_height")
        return height, width

    def value(self, key: str) -> Any:
        """Return what the first result that has it says, or None."""
        return next((one["value"][key] for one in self.results if key in one["value"]), None)

    @property
    def labels(self) -> list[str]:
        """The classes that were chosen for it."""
        chosen = [
            value
            for result in self.results
            for key, values in result["value"].items()
            if key.endswith("labels")
            for value in as_list(values)
        ]
        return list(dict.fromkeys(filter(None, map(as_text, chosen))))

    @property
    def kind(self) -> str:
        """What was drawn, e.g. ``brush``."""
        return as_text(self.results[0].get("type")).removesuffix("labels") or "label"


def _regions_of(results: Sequence[Any], place: str) -> Iterator[_Region]:
    by_id: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for number, result in enumerate(map(as_dict, results)):
        if isinstance(result.get("value"), dict) and as_text(result.get("type")) not in _NOT_DRAWN:
            by_id[as_text(result.get("id")) or number].append(result)
    for key, drawn in by_id.items():
        yield _Region(f"{place}, region {key}", drawn)


def _part(region: _Region, origin: Mapping[str, str], decoder: SandboxedDecoder) -> Part:
    if len(region.labels) != 1:
        told = " and ".join(region.labels)
        message = f"the region has the labels {told}" if told else "the region has no label"
        raise MaskError(message, hint="give it one label in Label Studio, or remove it")
    if any(result.get("image_rotation") for result in region.results):
        hint = "turn the picture back in Label Studio, draw the region again, and export"
        raise MaskError("the region was drawn on a picture that was turned in the editor", hint=hint)
    if region.value("item_index") or any(result.get("item_index") for result in region.results):
        raise MaskError("the region is on another picture of a task with several", hint="make a task of each")
    return Part(region.labels[0], _shape(region, decoder), region.where, region.kind, origin=origin)


def _shape(region: _Region, decoder: SandboxedDecoder) -> Sequence[Sequence[float]] | Rle | None:
    height_px, width_px = region.size_hw
    if (address := region.value("imageDataURL")) is not None:
        return _read_bitmask(as_text(address), height_px, width_px, decoder)
    if (stream := region.value("rle")) is not None:
        return read_brush(stream, height_px, width_px)
    if isinstance(points := region.value("points"), list):
        outline = [number for point in points for number in _in_px(point, height_px, width_px)]
        return [outline]
    if (radius_x := region.value("radiusX")) is not None:
        centre = _in_px([region.value("x"), region.value("y")], height_px, width_px)
        radii = _in_px([radius_x, region.value("radiusY")], height_px, width_px)
        turned_deg = as_number(region.value("rotation") or 0)
        return draw_ellipse(centre, radii, height_px, width_px, turned_deg=turned_deg)
    return None


def _read_bitmask(address: str, height_px: int, width_px: int, decoder: SandboxedDecoder) -> Rle:
    """Read a PNG of the picture's size that is black where the object is and transparent elsewhere."""
    start, _, data = address.partition(",")
    if not start.startswith("data:image/png") or not start.endswith("base64"):
        raise MaskError("a bitmask is not a PNG in a data URL", hint="draw it again in Label Studio")
    try:
        pixels_hw = decoder.open_values(b64decode(data)) > 0
    except binascii.Error as error:
        raise MaskError("a bitmask's PNG is broken", hint="draw it again in Label Studio") from error
    if pixels_hw.shape != (height_px, width_px):
        height, width = pixels_hw.shape
        raise MaskError(
            f"a bitmask of {width} x {height} px lies on a picture of {width_px} x {height_px} px"
        )
    return encode_masks(pixels_hw[None])[0]


def _in_px(point: Any, height_px: int, width_px: int) -> tuple[float, float]:
    """Return a point, given in per cent of the picture, in px. Raises MaskError if it is none."""
    if not isinstance(point, list) or len(point) != 2:
        raise MaskError(f"a point is two numbers, not {point!r}")
    return as_number(point[0]) * width_px / 100, as_number(point[1]) * height_px / 100


def _picture_address(task: Mapping[str, Any]) -> str:
    """Return the address or path of a task's picture; if no value looks like one, the task's number."""
    data = {key: value for key, value in task["data"].items() if isinstance(value, str) and value}
    likely = {key: value for key, value in data.items() if is_called_picture(_path_of(value))} or data
    return likely.get("image") or next(iter(likely.values()), _place(task))


def _path_of(address: str) -> str:
    """Return the path in an address.

    >>> _path_of("/data/local-files/?d=line%201/a.png"), _path_of("s3://bucket/line%201/a.png")
    ('line 1/a.png', 'line 1/a.png')
    """
    parts = urlsplit(address)
    if told := parse_qs(parts.query).get("d"):
        return told[0]
    return unquote(parts.path if parts.scheme else address.split("?")[0]).lstrip("/")


def _ways_to_name(addresses: Sequence[str]) -> list[list[str]]:
    """Return the names that pictures may have: with folders, without, and as they were before an upload."""
    paths = [_path_of(address) for address in addresses]
    names = [own_name(path) or path for path in paths]
    originals = [_UPLOAD_PREFIX.sub("", name) for name in names]
    return [paths, ["/".join(path.split("/")[-2:]) for path in paths], names, originals]


def _place(task: Mapping[str, Any]) -> str:
    return f"task {as_text(task.get('id')) or '?'}"
