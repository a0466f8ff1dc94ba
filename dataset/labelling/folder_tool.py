"""A plain folder behind the port: pictures and a COCO file go out, labels of any known format come back.

Below the folder each request has its own: ``images/``, ``pre-labels.json`` with the model's answers as
COCO, ``tasks.json`` with the reasons, and ``labels/`` for what comes back. If ``labels/`` holds nothing but
folders, each is one annotator's. Pictures without any object are named in ``without-objects.txt``.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from dataset.coco.document import read_json
from dataset.formats.archives import open_source
from dataset.labelling.drawings import Drawing, count_orphans, is_unchanged, list_drawings, tell_bends
from dataset.labelling.port import Annotation, LabelTask, PlacedTask
from dataset.readers.coco import READER as COCO_READER
from dataset.readers.table import read_labels
from maskloop.digest import digest_bytes, digest_value
from maskloop.errors import DataError, NotFoundError, UnavailableError
from maskloop.files import storage_error, write_bytes, write_text
from maskloop.wording import count

NAME: Final = "folder"
_TASKS: Final = "tasks.json"
_PRE_LABELS: Final = "pre-labels.json"
_CLASSES: Final = "classes.json"
_EMPTY: Final = "without-objects.txt"
_GUIDE: Final = "README.txt"
_STEM_CHARACTERS: Final = 16
_MAX_NAMES: Final = 5
_GUIDE_TEXT: Final = """\
Label the pictures in images/ with any tool and put what it writes into labels/: COCO, CVAT, Datumaro,
Label Studio, labelme, Supervisely, VGG Image Annotator, YOLO or painted masks. pre-labels.json holds what the
model found, as COCO; tasks.json says why each picture was chosen. Keep the names of the pictures.

A picture counts as finished once labels/ holds an object in it. Name the pictures that show no object in
without-objects.txt, one a line. If several people label the same pictures, give each a folder below labels/.
`maskloop label pull` takes the labels into the data.
"""


class FolderTool:
    """Requests as folders.

    Args:
        root: Holds them all.
    """

    name = NAME

    def __init__(self, root: Path) -> None:
        self._root = root

    def open_project(self, class_names: Sequence[str]) -> str:
        """Make the folder, or check its classes. Raises DataError if they are others."""
        file = self._root / _CLASSES
        theirs = read_json(file) if file.exists() else None
        if theirs is None:
            write_text(file, json.dumps(list(class_names)))
        elif not isinstance(theirs, list) or set(theirs) != set(class_names):
            raise DataError(
                "the folder was begun with other classes than the data have now",
                where=str(file),
                hint="name a new folder in labelling.folder",
            )
        return str(self._root)

    def find_project(self) -> str:
        """Return the folder; empty if it is not there."""
        return str(self._root) if (self._root / _CLASSES).exists() else ""

    def list_tasks(self) -> tuple[PlacedTask, ...]:
        """Return the tasks of all requests."""
        placed: list[PlacedTask] = []
        for folder in self._requests():
            version = _version_of(folder)
            placed += [
                PlacedTask(_task_id(folder, stem), str(task["picture_digest"]), folder.name, None, version)
                for stem, task in _read_tasks(folder).items()
            ]
        return tuple(placed)

    def tell_losses(self, task: LabelTask) -> tuple[str, ...]:
        """Return nothing: COCO holds every mask."""
        return ()

    def add_tasks(self, tasks: Iterable[LabelTask]) -> Iterator[LabelTask]:
        """Write each picture, then the model's answers, then the task itself."""
        for task in tasks:
            self._add(task)
            yield task

    def _add(self, task: LabelTask) -> None:
        folder = self._root / task.request_id
        stem = task.picture_digest[:_STEM_CHARACTERS]
        name = f"{stem}{task.extension}"
        write_bytes(folder / "images" / name, task.picture)
        tasks = _read_tasks(folder)
        if stem in tasks:
            return
        _write_pre_labels(folder, name, task, self._class_names())
        told = {
            "file": name,
            "picture_digest": task.picture_digest,
            "sample_id": task.sample_id,
            "source": task.source,
            "cause": task.cause,
            "reason": task.reason,
            "height_px": task.size_hw[0],
            "width_px": task.size_hw[1],
            "model_version": task.model_version,
        }
        write_text(folder / _GUIDE, _GUIDE_TEXT)
        _make_folder(folder / "labels")
        write_text(folder / _TASKS, json.dumps({**tasks, stem: told}, indent=1))

    def pull(self, tasks: Sequence[PlacedTask]) -> Iterator[Annotation]:
        """Yield what ``labels/`` holds of these tasks. Raises DataError if it cannot be read."""
        wanted = {task.task_id for task in tasks}
        for folder, known in self._requests_of(wanted):
            yield from (one for one in _read_labels(folder, known) if one.task_id in wanted)

    def tell_warnings(self, tasks: Sequence[PlacedTask]) -> tuple[str, ...]:
        """Say of each place in ``labels/`` what was not asked for and what was bent. Raises as `pull`."""
        requests = self._requests_of({task.task_id for task in tasks})
        return tuple(told for folder, known in requests for told in _tell_warnings(folder, known))

    def fetch_picture(self, task: PlacedTask) -> bytes | None:
        """Return the picture as it was written, None if it is gone or was changed."""
        request, _, stem = task.task_id.partition("/")
        for file in sorted((self._root / request / "images").glob(f"{stem}.*")):
            data = file.read_bytes()
            if digest_bytes(data) == task.picture_digest:
                return data
        return None

    def _requests(self) -> list[Path]:
        if not self._root.exists():
            return []
        return sorted(file.parent for file in self._root.glob(f"*/{_TASKS}"))

    def _requests_of(self, task_ids: AbstractSet[str]) -> Iterator[tuple[Path, dict[str, dict[str, Any]]]]:
        """Yield the folders that hold one of these tasks, with all tasks of the folder."""
        for folder in self._requests():
            known = _read_tasks(folder)
            if any(_task_id(folder, stem) in task_ids for stem in known):
                yield folder, known

    def _class_names(self) -> list[str]:
        try:
            return [str(name) for name in read_json(self._root / _CLASSES)]
        except NotFoundError as error:
            raise UnavailableError("the labelling folder is gone", where=str(self._root)) from error


def _read_tasks(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the tasks of a request by the stem of their pictures' names."""
    file = folder / _TASKS
    if not file.exists():
        return {}
    tasks = read_json(file)
    if not isinstance(tasks, dict):
        raise DataError(
            "the list of tasks was changed by hand", where=str(file), hint="remove it and push again"
        )
    return tasks


def _write_pre_labels(folder: Path, name: str, task: LabelTask, class_names: Sequence[str]) -> None:
    """Add a picture and the model's answers about it to the request's COCO file, in place of older ones."""
    file = folder / _PRE_LABELS
    content = read_json(file) if file.exists() else {"images": [], "annotations": []}
    number = 1 + max((image["id"] for image in content["images"]), default=0)
    images = [image for image in content["images"] if image["file_name"] != name]
    kept = {image["id"] for image in images}
    records = [one for one in content["annotations"] if one["image_id"] in kept]
    height_px, width_px = task.size_hw
    images.append(
        {"id": number, "file_name": name, "height": height_px, "width": width_px, "frame": "upright"}
    )
    numbers = {class_name: at for at, class_name in enumerate(class_names, start=1)}
    first = 1 + max((one["id"] for one in records), default=0)
    records += [
        {
            "id": at,
            "image_id": number,
            "category_id": numbers[one.class_name],
            "segmentation": one.mask.to_coco(),
            "iscrowd": int(one.is_crowd),
            **({} if one.score is None else {"score": one.score}),
        }
        for at, one in enumerate(task.pre_labels, start=first)
    ]
    categories = [{"id": at, "name": class_name} for class_name, at in numbers.items()]
    write_text(file, json.dumps({"images": images, "annotations": records, "categories": categories}))


def _read_labels(folder: Path, tasks: Mapping[str, Mapping[str, Any]]) -> list[Annotation]:
    """Return what people put into ``labels/``, and the pictures they found without objects."""
    pre_labels = folder / _PRE_LABELS
    model = (
        _by_stem(list_drawings(_read(pre_labels, folder, COCO_READER.read))) if pre_labels.exists() else {}
    )
    sizes = _sizes_of(tasks)
    found: list[Annotation] = []
    for annotator, place in _labels_of(folder / "labels"):
        drawings = _by_stem(list_drawings(_read(place, folder, read_labels), sizes))
        at = datetime.fromtimestamp(_newest_change(place), UTC).isoformat(timespec="seconds")
        for stem, drawing in drawings.items():
            if stem in tasks and (drawing.instances or drawing.trouble):
                found.append(_annotation(folder, stem, annotator, at, drawing, model.get(stem)))
    drawn = {one.task_id for one in found}
    for stem in _listed_empty(folder / _EMPTY):
        if stem in tasks and _task_id(folder, stem) not in drawn:
            at = datetime.fromtimestamp((folder / _EMPTY).stat().st_mtime, UTC).isoformat(timespec="seconds")
            found.append(Annotation(_task_id(folder, stem), _EMPTY, "", at, None))
    return found


def _tell_warnings(folder: Path, tasks: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Say which labels are of no picture of the request and which masks an export bent, file by file."""
    sizes = _sizes_of(tasks)
    for _, place in _labels_of(folder / "labels"):
        coco = _read(place, folder, read_labels)
        named = place.relative_to(folder).as_posix()
        drawn = list_drawings(coco, sizes)
        others = [name for name, one in drawn.items() if one.instances or one.trouble]
        yield from _tell_others(f"labels in {named}", [name for name in others if _stem(name) not in tasks])
        if num_orphans := count_orphans(coco):
            told = count(num_orphans, "annotation")
            yield f"{told} in {named} left out: their image_id is not in the list of images"
        bent = f"masks in {named} are taken as they are; `maskloop ingest` can mend some"
        yield from (f"{bent}: {told}" for told in tell_bends(coco, drawn))
    listed = _listed_empty(folder / _EMPTY)
    yield from _tell_others(f"names in {_EMPTY}", [name for name in listed if name not in tasks])


def _sizes_of(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    return {task["file"]: (task["height_px"], task["width_px"]) for task in tasks.values()}


def _tell_others(what: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        shown = ", ".join(names[:_MAX_NAMES]) + (", ..." if len(names) > _MAX_NAMES else "")
        told = count(len(names), "picture")
        yield (
            f"{what} left out: the request did not ask for {told} ({shown}); keep the names that images/ has"
        )


def _read(place: Path, folder: Path, read: Any) -> Any:
    try:
        with open_source(place, images_dir=folder / "images") as source:
            return read(source)
    except OSError as error:
        raise storage_error(error, place) from error


def _annotation(
    folder: Path, stem: str, annotator: str, at: str, drawing: Drawing, model: Drawing | None
) -> Annotation:
    return Annotation(
        task_id=_task_id(folder, stem),
        annotation_id=annotator or "labels",
        annotator=drawing.origin.get("annotator", "") or annotator,
        at=drawing.origin.get("time", "") or at,
        size_hw=drawing.size_hw,
        instances=tuple(drawing.instances),
        is_unchanged=model is not None and is_unchanged(drawing, model),
        trouble=drawing.trouble,
    )


def _labels_of(folder: Path) -> list[tuple[str, Path]]:
    """Return annotators with the place of their labels; one without a name where nobody has a folder."""
    entries = sorted(path for path in folder.glob("*") if not path.name.startswith("."))
    if entries and all(path.is_dir() for path in entries):
        return [(path.name, path) for path in entries]
    return [("", entries[0] if len(entries) == 1 else folder)] if entries else []


def _newest_change(place: Path) -> float:
    files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    return max((path.stat().st_mtime for path in files), default=0.0)


def _version_of(folder: Path) -> str:
    """Return a digest of the names, sizes and times of everything that decides what the labels are."""
    labels = sorted(path for path in (folder / "labels").rglob("*") if path.is_file())
    files = [*labels, *(folder / name for name in (_EMPTY, _PRE_LABELS, _TASKS) if (folder / name).exists())]
    try:
        stats = [(str(file.relative_to(folder)), file.stat()) for file in files]
    except OSError:  # one was taken away meanwhile
        return ""
    return digest_value([[name, one.st_size, one.st_mtime_ns, one.st_ctime_ns] for name, one in stats])


def _listed_empty(file: Path) -> list[str]:
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    return list(dict.fromkeys(Path(line.strip()).stem for line in lines if line.strip()))


def _by_stem(drawings: Mapping[str, Drawing]) -> dict[str, Drawing]:
    """Return drawings by the stem of the picture's name: tools change endings and add folders."""
    found: dict[str, list[Drawing]] = defaultdict(list)
    for name, drawing in drawings.items():
        found[_stem(name)].append(drawing)
    return {stem: several[-1] for stem, several in found.items()}


def _stem(name: str) -> str:
    return Path(name.replace("\\", "/")).stem


def _task_id(folder: Path, stem: str) -> str:
    return f"{folder.name}/{stem}"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, folder) from error
