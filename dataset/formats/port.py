"""The port between `maskloop ingest` and a label format: what was named, and what a reader makes of it.

A reader turns its source into a `CocoFile`, so that validation and quarantine stay one mechanism. What it
cannot read goes into the file's ``problems`` and costs one picture: the picture is listed in ``images`` under
the name that the error has as its ``picture``. A reader raises only where nothing can be read at all.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

from dataset.coco.document import CocoFile, is_safe_name, read_json
from dataset.coco.picture_files import locate_pictures
from dataset.label_json import parse_labels
from maskloop.errors import DataError, MaskloopError, NotFoundError

Syntax = Literal["json", "xml", "text", "picture", "other"]

MAX_FILES: Final = 500_000
_MOST_FILES_SNIFFED: Final = 100
_MOST_FILES_KEPT: Final = 4
_MOST_NAMES_TRIED: Final = 500
_START_BYTES: Final = 20_000
_PICTURE_ENDINGS: Final = frozenset(
    ".jpg .jpeg .png .webp .bmp .gif .tif .tiff .heic .heif .dcm .jp2 .avif".split()  # noqa: SIM905
)
_PICTURE_STARTS: Final = (
    *(b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"BM"),
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
)


class LabelSource:
    """What a person named: a folder or one file, also one that was unpacked from an archive.

    Names of files are relative to `root`, with ``/``. Hidden files and folders are not seen.

    Args:
        path: The folder or file that is read.
        named: What the person named, where that is another; messages name it.
        images_dir: The folder of the pictures, if the person says.
        scratch: An empty folder for pictures that are in the labels' files; it goes when the source does.
        annotator: Whose annotation counts where a picture has several; empty: the format's own rule.

    Raises:
        NotFoundError: if there is neither, or no folder of the pictures where the person says.
    """

    def __init__(
        self,
        path: Path,
        *,
        named: Path | None = None,
        images_dir: Path | None = None,
        scratch: Path | None = None,
        annotator: str = "",
    ) -> None:
        if not path.exists():
            hint = "name the labels' file, or the folder they are in"
            raise NotFoundError("the annotation file does not exist", where=str(path), hint=hint)
        if images_dir and not images_dir.is_dir():
            hint = "name another folder with --images; without it the pictures are looked for near the labels"
            raise NotFoundError("the pictures' folder does not exist", where=str(images_dir), hint=hint)
        self.path, self.named, self.images_dir = path, named or path, images_dir
        self.scratch, self.annotator = scratch, annotator
        self.root = path if path.is_dir() else path.parent
        self._parsed: OrderedDict[str, Any] = OrderedDict()

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The names of all files, those of upper folders first; of a source that is one file, its name alone.

        Raises:
            DataError: if there are more than `MAX_FILES`.
        """
        if self.is_file:
            return (self.path.name,)
        names = list(islice(_walk(self.root), MAX_FILES + 1))
        if len(names) > MAX_FILES:
            hint = "name the folder of one batch"
            raise DataError(f"the folder holds more than {MAX_FILES} files", where=str(self.named), hint=hint)
        return tuple(sorted(names, key=lambda name: (name.count("/"), name)))

    @property
    def is_file(self) -> bool:
        """Whether it is one file, not a folder."""
        return self.path != self.root

    def at(self, name: str) -> Path:
        """Return where a file lies."""
        return self.root / name

    def place(self, name: str) -> Path:
        """Return what messages call a file; nobody knows the folder that an archive was unpacked to."""
        return self.named if self.is_file else self.named / name

    def place_of_folder(self, folder: Path) -> Path | None:
        """Return what to call a folder of this source that goes with it; None for one that stays."""
        if self.scratch and folder.is_relative_to(self.scratch):
            return self.named
        if self.named == self.path or not folder.is_relative_to(self.root):
            return None
        return self.named / folder.relative_to(self.root)

    def stands_for(self, name: str) -> Path:
        """Return the path by which reports know a file: its own, or that of the archive it was in."""
        return self.at(name) if self.named == self.path else self.named

    def pick(self, *syntaxes: Syntax, depth: int = 2, limit: int = _MOST_FILES_SNIFFED) -> Iterator[str]:
        """Yield the files of some syntax, told by content.

        Args:
            syntaxes: What is wanted.
            depth: How many folders deep to look.
            limit: How many files to look at. Those that are called like pictures are skipped uncounted.
        """
        likely = (name for name in self.files if name.count("/") < depth and not is_called_picture(name))
        looked_at = self.files if self.is_file else likely
        return (name for name in islice(looked_at, limit) if self.syntax(name) in syntaxes)

    def syntax(self, name: str) -> Syntax:
        """Tell what a file is by its first bytes."""
        start = self.start(name)
        if start.startswith(_PICTURE_STARTS):
            return "picture"
        text = start.decode("utf-8", "replace").lstrip("\ufeff \r\n\t")
        if "\0" in text:
            return "other"
        return "json" if text.startswith(("{", "[")) else "xml" if text.startswith("<") else "text"

    def start(self, name: str) -> bytes:
        """Return a file's first 20,000 bytes; nothing if it cannot be read."""
        try:
            with self.at(name).open("rb") as file:
                return file.read(_START_BYTES)
        except OSError:
            return b""

    def mentions(self, name: str, *keys: str) -> bool:
        """Tell whether a file holds every key in quotes: a cheap test before it is parsed."""
        try:
            with self.at(name).open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
                return all(data.find(f'"{key}"'.encode()) >= 0 for key in keys)
        except (OSError, ValueError):  # it went, or is empty
            return False

    def json(self, name: str) -> Any:
        """Return a JSON file's content. The last few are kept, so that recognising and reading parse once.

        Raises:
            DataError: if it is empty, too large, not JSON or cannot be read; says where and what to do.
            NotFoundError: if it went.
        """
        if name not in self._parsed:
            self._parsed[name] = read_json(self.at(name), place=self.place(name), parse=parse_labels)
            if len(self._parsed) > _MOST_FILES_KEPT:
                self._parsed.popitem(last=False)
        return self._parsed[name]

    def peek_json(self, name: str) -> Any:
        """Return a JSON file's content, or None if it cannot be read."""
        try:
            return self.json(name)
        except MaskloopError:
            return None

    def text(self, name: str) -> str:
        """Return a text file's content, UTF-8 with or without a mark, else Latin-1. Raises DataError."""
        try:
            data = self.at(name).read_bytes()
        except OSError as error:
            what = f"the file cannot be read: {error.strerror}"
            raise DataError(what, where=str(self.place(name))) from error
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            return data.decode("latin-1")

    def find_pictures_dir(self, names: tuple[str, ...], *, beside: str = "") -> Path:
        """Return the folder a person said, or the one that most of the named pictures are in.

        See `locate_pictures`.

        Args:
            names: As the labels have them.
            beside: The labels' file, if they are in one.
        """
        return self.images_dir or locate_pictures(self.at(beside or "labels"), names)

    def choose_names(
        self, ways: Sequence[Sequence[str]], *, beside: str = ""
    ) -> tuple[tuple[str, ...], Path]:
        """Choose how pictures are named: so that they are there, in one way for as many as possible.

        Args:
            ways: Names of the same pictures, one way after another; of two that fit alike the first counts.
            beside: The labels' file, if they are in one.

        Returns:
            Their names, and the folder these are relative to.
        """
        folders = [self.find_pictures_dir(tuple(names), beside=beside) for names in ways]
        step = max(1, len(ways[0]) // _MOST_NAMES_TRIED)
        numbers = [
            sum(_is_there(folder, name) for name in names[::step])
            for folder, names in zip(folders, ways, strict=True)
        ]
        best = numbers.index(max(numbers))
        folder = folders[best]
        ranked = [ways[best], *ways]
        return tuple(
            next((name for name in alike if _is_there(folder, name)), alike[0])
            for alike in zip(*ranked, strict=True)
        ), folder


@dataclass(frozen=True)
class LabelReader:
    """One label format.

    Attributes:
        key: What ``--format`` calls it, e.g. ``label-studio``.
        format: What people call it, e.g. ``Label Studio JSON``.
        recognises: Tells by content, cheaply, whether a source is in this format; raises nothing.
        read: Reads a source it recognises, or one that a person says is in this format. Raises DataError if
            nothing can be read.
        chooses_annotators: It heeds `LabelSource.annotator`.
    """

    key: str
    format: str
    recognises: Callable[[LabelSource], bool]
    read: Callable[[LabelSource], CocoFile]
    chooses_annotators: bool = False


def own_name(path_or_url: str) -> str:
    """Return the last part of a path or address, whatever its separators.

    >>> own_name("C:\\\\photos\\\\a.png"), own_name("../images/b.jpg")
    ('a.png', 'b.jpg')
    """
    return PurePosixPath(path_or_url.replace("\\", "/")).name


def is_called_picture(name: str) -> bool:
    """Tell whether a name ends like a picture's.

    >>> is_called_picture("a/b.JPG"), is_called_picture("a/b.json")
    (True, False)
    """
    return PurePosixPath(name).suffix.lower() in _PICTURE_ENDINGS


def _is_there(folder: Path, name: str) -> bool:
    return is_safe_name(name) and (folder / name).is_file()


def _walk(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = [each for each in folders if not each.startswith((".", "__MACOSX"))]
        for file in files:
            if not file.startswith("."):
                yield (Path(folder) / file).relative_to(root).as_posix()
