"""YOLO's folders for segmentation: a text file a picture, a line an object, corners as shares of the sides.

Outlines are drawn as COCO's, along the edges of pixels: that gives back what people drew and what exact
converters wrote. Outlines that OpenCV took from masks come one pixel short at the right and below;
`dataset.bends` finds those. Parts joined by a bridge are read as their union.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml

from dataset.coco.document import CocoFile
from dataset.formats.collecting import Collector, Part
from dataset.formats.filled_shapes import split_bridged
from dataset.formats.picture_sizes import mask_decoder, upright_size
from dataset.formats.port import LabelReader, LabelSource, is_called_picture
from dataset.pictures.sandbox import SandboxedDecoder
from maskloop.errors import DataError, MaskError, PictureError
from maskloop.wording import count

_FORMAT: Final = "YOLO segmentation"
_LAYOUT_HINT: Final = (
    "expected are data.yaml with names, pictures in images/ and a text file for each in labels/; folders "
    "such as train may lie above or below these two"
)
_NAME_LISTS: Final = ("classes.txt", "obj.names", "_darknet.labels")
_MAX_YAML_BYTES: Final = 2**20
_MOST_FILES_LOOKED_AT: Final = 50
_TOLERANCE: Final = 0.01
"""Share of a side by which an outline may leave its picture: rounding, as ultralytics has it."""


def recognises(source: LabelSource) -> bool:
    """Tell whether a folder with YOLO's labels is there, or its data.yaml was named."""
    folder = _folder(source)
    labels = [name for name in folder.files if _is_label(name)]
    if not any("labels/" in name for name in labels) and not _find_names(folder):
        return False
    return any(_is_yolo_file(folder, name) for name in islice(labels, _MOST_FILES_LOOKED_AT))


def read(source: LabelSource) -> CocoFile:
    """Read a folder.

    Raises:
        DataError: if the names of the classes or all pictures are missing.
    """
    source = _folder(source)
    where = str(source.named)
    found = _find_names(source)
    if not found:
        raise DataError("YOLO's labels lack the names of the classes", where=where, hint=_LAYOUT_HINT)
    file, names = found
    labels = {name for name in source.files if _is_label(name)}
    pictures = _match_elsewhere(source.images_dir, labels) if source.images_dir else _match(source, labels)
    if not pictures:
        headline = "YOLO's labels are shares of a picture's sides, and the pictures are not there"
        raise DataError(headline, where=where, hint=_LAYOUT_HINT)
    collector = Collector(_FORMAT)
    collector.declare_classes(names.values())
    with mask_decoder() as decoder:
        reading = _Reading(source, decoder, file, names, collector)
        for picture, label in pictures.items():
            reading.read_picture(picture, label)
    unlabelled = [picture for picture, label in pictures.items() if label is None]
    collector.tell_of_unlabelled(unlabelled, "a file of labels")
    for label in sorted(labels - set(pictures.values())):
        if _is_yolo_file(source, label):
            hint = "put the picture in, or remove the file"
            collector.refuse(label, "picture-missing", label, "no picture belongs to these labels", hint)
    return collector.finish(source.stands_for(file), source.images_dir or source.root)


READER: Final = LabelReader("yolo", _FORMAT, recognises, read)


@dataclass(frozen=True)
class _Reading:
    """Reads pictures one by one.

    Attributes:
        source: The folder.
        decoder: For pictures whose header does not tell their size.
        names_file: Where the names of the classes stand.
        names: Of the classes, by number.
        collector: Grows.
    """

    source: LabelSource
    decoder: SandboxedDecoder
    names_file: str
    names: Mapping[int, str]
    collector: Collector

    def read_picture(self, picture: str, label: str | None) -> None:
        """Read a picture's labels; what is wrong with them costs the picture."""
        lines = _lines(self.source, label) if label else []
        try:
            folder = self.source.images_dir or self.source.root
            size_hw = upright_size(folder / picture, self.decoder) if lines else None
        except PictureError as error:
            self.collector.add_picture(picture, None)
            self.collector.refuse(picture, "picture-broken", picture, error.headline, error.hint)
            return
        parts = []
        for number, line in enumerate(lines, start=1):
            where = f"{label}: object {number}"
            try:
                parts.append(self._part(line, where, *(size_hw or (1, 1))))
            except MaskError as error:
                self.collector.refuse(picture, "bad-line", where, error.headline, error.hint)
        self.collector.add_picture(picture, size_hw, parts, frame="upright" if size_hw else "")

    def _part(self, line: str, where: str, height_px: int, width_px: int) -> Part:
        try:
            index, *shares = [float(word) for word in line.split()]
        except ValueError as error:
            raise MaskError(f"the line holds something that is not a number: {line[:40]!r}") from error
        if index not in self.names:
            hint = f"{self.names_file} has names for {', '.join(map(str, self.names))}"
            raise MaskError(f"the class number {index:g} has no name", hint=hint)
        if not all(-_TOLERANCE <= share <= 1 + _TOLERANCE for share in shares):  # false for NaN too
            hint = "coordinates are shares of the picture's width and height, 0 to 1"
            raise MaskError("an outline leaves its picture", hint=hint)
        name = self.names[int(index)]
        if len(shares) == 4:
            return Part(name, None, where, kind="box")
        if len(shares) < 6 or len(shares) % 2:
            raise MaskError(
                f"an object has {count(len(shares), 'coordinate')}; expected are pairs, 3 or more"
            )
        corners = [(x * width_px, y * height_px) for x, y in zip(shares[::2], shares[1::2], strict=True)]
        return Part(
            name, [[side for corner in part for side in corner] for part in split_bridged(corners)], where
        )


def _folder(source: LabelSource) -> LabelSource:
    """Return the folder that a data.yaml stands for, as people name it to ultralytics; else the source."""
    is_yaml = source.is_file and source.path.suffix.lower() in (".yaml", ".yml")
    return LabelSource(source.root, images_dir=source.images_dir) if is_yaml else source


def _find_names(source: LabelSource) -> tuple[str, dict[int, str]] | None:
    """Return the file that names the classes, and the names by number."""
    likely = [name for name in source.files if name.count("/") < 2]
    for file in likely:
        if file.lower().endswith((".yaml", ".yml")) and (names := _names_in_yaml(source, file)):
            return file, names
    for file in likely:
        if PurePosixPath(file).name in _NAME_LISTS:
            lines = [line.strip() for line in source.text(file).splitlines()]
            return file, {number: name for number, name in enumerate(lines) if name}
    return None


def _names_in_yaml(source: LabelSource, file: str) -> dict[int, str]:
    content = _load_yaml(source, file)
    listed = content.get("names") if isinstance(content, dict) else None
    if isinstance(listed, list):
        listed = dict(enumerate(listed))
    if isinstance(listed, dict) and all(isinstance(name, str) for name in listed.values()):
        numbers = {str(key): name for key, name in listed.items()}
        return {int(key): name for key, name in numbers.items() if key.isdecimal()}
    return {}


def _load_yaml(source: LabelSource, file: str) -> Any:
    path = source.at(file)
    try:
        if path.stat().st_size > _MAX_YAML_BYTES:
            return None
        text = path.read_text(encoding="utf-8-sig")
        return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - makes text, lists, mappings alone: "no" stays "no"
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return None


def _is_label(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() == ".txt" and ("labels" in path.parts[:-1] or path.name not in _NAME_LISTS)


def _match(source: LabelSource, labels: set[str]) -> dict[str, str | None]:
    """Return every picture with its file of labels: in the folder beside `images`, or beside itself."""
    pictures = [name for name in source.files if is_called_picture(name)]
    among_images = [name for name in pictures if "images" in PurePosixPath(name).parts[:-1]]
    folders = {PurePosixPath(name).parent for name in labels}
    beside_labels = [name for name in pictures if PurePosixPath(name).parent in folders]
    written = {str(PurePosixPath(label).with_suffix(".txt")): label for label in labels}
    found: dict[str, str | None] = {}
    for picture in among_images or beside_labels:
        places = (_mirrored(picture), str(PurePosixPath(picture).with_suffix(".txt")))
        found[picture] = next((written[place] for place in places if place in written), None)
    return found


def _match_elsewhere(folder: Path, labels: set[str]) -> dict[str, str | None]:
    """Return the pictures of a folder that a person said, each with its file of labels, by path or name."""
    by_path = {_below(label, "labels"): label for label in sorted(labels)}
    stems = Counter(PurePosixPath(path).name for path in by_path)
    by_stem = {
        PurePosixPath(path).name: label
        for path, label in by_path.items()
        if stems[PurePosixPath(path).name] == 1
    }
    pictures = [name for name in LabelSource(folder).files if is_called_picture(name)]
    keys = {picture: _below(picture, "images") for picture in pictures}
    return {name: by_path.get(key, by_stem.get(PurePosixPath(key).name)) for name, key in keys.items()}


def _below(name: str, folder: str) -> str:
    """Return what lies below the last folder of that name, without the ending.

    >>> _below("data/labels/train/a.txt", "labels"), _below("a.png", "images")
    ('train/a', 'a')
    """
    parts = list(PurePosixPath(name).with_suffix("").parts)
    above = [at for at, part in enumerate(parts[:-1]) if part == folder]
    return "/".join(parts[above[-1] + 1 :] if above else parts)


def _mirrored(picture: str) -> str:
    """Return where ultralytics looks for a picture's labels.

    >>> _mirrored("images/train/a.png")
    'labels/train/a.txt'
    """
    below = _below(picture, "images")
    above = str(PurePosixPath(picture).with_suffix("")).removesuffix(below)
    return f"{above.removesuffix('images/')}labels/{below}.txt" if above else f"{below}.txt"


def _lines(source: LabelSource, label: str) -> list[str]:
    try:
        return [line for line in source.text(label).splitlines() if line.strip()]
    except DataError:
        return []


def _is_yolo_file(source: LabelSource, label: str) -> bool:
    """Tell whether the first line of a file is a class number and shares of a picture's sides."""
    words = next(iter(_lines(source, label)), "").split()
    try:
        index, *shares = [float(word) for word in words]
    except ValueError:
        return False
    return index.is_integer() and len(shares) >= 4 and max(map(abs, shares)) <= 1 + _TOLERANCE
