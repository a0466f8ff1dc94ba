"""Where a batch's pictures are: the folder its file names are meant in, and the file behind each name."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote

from dataset.coco.document import is_safe_name
from dataset.problems import DataProblem

_MOST_NAMES_TRIED: Final = 500
_MOST_FILES_LISTED: Final = 500_000


def locate_pictures(annotations: Path, names: Sequence[str]) -> Path:
    """Return the folder under which most of a COCO file's pictures are.

    The file's own folder counts first, then `images` in it, then the same one level up, then the folders
    beside the file and beside its folder. Of these last ones, two that hold equally many settle nothing. If
    no picture is anywhere, it is `images` beside the file, or the file's own folder.
    """
    own = annotations.parent
    sample = names[:: max(1, len(names) // _MOST_NAMES_TRIED)]
    near = [own, own / "images", own.parent, own.parent / "images"]
    best = _fullest(near, sample)
    if best is None:
        further = [
            folder for parent in (own, own.parent) for folder in _folders(parent) if folder not in near
        ]
        best = _fullest(further, sample, is_unique=True)
    return best or (own / "images" if (own / "images").is_dir() else own)


class PictureFolder:
    """Finds the file a COCO file means, also where Unicode or a ``\\`` spells its name otherwise.

    Args:
        root: The folder that names are relative to.
        place: What messages call it, if not that.
    """

    def __init__(self, root: Path, *, place: Path | None = None) -> None:
        self.root, self._place = root, place or root

    def find(self, name: str) -> str | DataProblem:
        """Return the path of a picture relative to the folder, or why there is none."""
        if not is_safe_name(name):
            found = self._files_alike.get(PurePosixPath(_composed(name)).name.casefold())
            there = f"{found!r} is there: " if found else ""
            hint = f"{there}keep only each file's own name in file_name, or export with the pictures"
            message = f"the file name leads out of the pictures' folder ({self._place})"
            return DataProblem("error", "unsafe-name", name, message, hint)
        for spelled in spellings(name):
            if (self.root / spelled).is_file():
                return spelled
        alike = self._files_by_form.get(_composed(name), [])
        if len(alike) == 1:
            return alike[0]
        message = f"the picture is listed but not there; looked in {self._place}"
        hint = self._suggest(name) or "name the folder that the file names are relative to with --images"
        return DataProblem("error", "picture-missing", name, message, hint)

    def _suggest(self, name: str) -> str:
        """Say which file may be meant: one that differs in capitals, blanks, %20 or its folder alone."""
        wanted = unquote(_composed(name)).strip().casefold()
        for key in (wanted, PurePosixPath(wanted).name):
            if found := self._files_alike.get(key):
                return f"{found!r} is there: put that into file_name, or rename the file"
        return ""

    @cached_property
    def _files_by_form(self) -> Mapping[str, list[str]]:
        """Every file of the folder by its composed name with slashes."""
        by_form: dict[str, list[str]] = defaultdict(list)
        for number, file in enumerate(_walk(self.root)):
            if number >= _MOST_FILES_LISTED:
                break
            by_form[_composed(file)].append(file)
        return by_form

    @cached_property
    def _files_alike(self) -> Mapping[str, str]:
        """One file for each way its name may be meant."""
        alike: dict[str, str] = {}
        for form, (file, *_) in self._files_by_form.items():
            alike.setdefault(PurePosixPath(form).name.strip().casefold(), file)
        for form, (file, *_) in self._files_by_form.items():
            alike[form.strip().casefold()] = file
        return alike


def spellings(name: str) -> tuple[str, ...]:
    """Return the ways in which a file name may be spelled on the disk, the given one first.

    >>> spellings("images\\\\a.png")
    ('images\\\\a.png', 'images/a.png')
    """
    slashed = name.replace("\\", "/")
    forms = (unicodedata.normalize(form, slashed) for form in ("NFC", "NFD"))
    return tuple(dict.fromkeys((name, slashed, *forms)))


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def _fullest(folders: Iterable[Path], names: Sequence[str], *, is_unique: bool = False) -> Path | None:
    """Return the first folder that holds the most of the pictures; None if none holds any."""
    best, most, ties = None, 0, 0
    for folder in folders:
        num = sum(_is_there(folder, name) for name in names) if folder.is_dir() else 0
        if num > most:
            best, most, ties = folder, num, 1
        elif num == most:
            ties += 1
        if most == len(names) and not is_unique:
            break
    return best if most and (ties == 1 or not is_unique) else None


def _is_there(folder: Path, name: str) -> bool:
    return is_safe_name(name) and any((folder / spelled).is_file() for spelled in spellings(name))


def _folders(parent: Path) -> list[Path]:
    try:
        return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def _walk(root: Path) -> Iterable[str]:
    for folder, _, files in os.walk(root):
        for file in files:
            yield (Path(folder) / file).relative_to(root).as_posix()
