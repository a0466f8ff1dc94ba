"""The files named on a command line: which are pictures, what they are called, and a balance of all of them.

A picture file is recognised by its first bytes, as in `ingest`, not by its extension.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from dataset.pictures.decoding import FORMATS_READ, LONGEST_MAGIC_BYTES, sniff_format
from maskloop.errors import DataError, PictureError

OVERLAY_ENDING: Final = ".overlay.png"
_UNREAD: Final = f"not {FORMATS_READ}"
_OWN_DRAWING: Final = "drawn by an earlier predict"
_MOST_REASONS: Final = 5


@dataclass(frozen=True)
class IncomingFile:
    """One file that came.

    Attributes:
        path: Where it lies, as it was named.
        name: Its path below the folder that holds everything that was named; no two files share one.
        passed_over: Why it was found in a folder and is not asked about; empty for a picture.
    """

    path: Path
    name: str
    passed_over: str = ""


@dataclass(frozen=True)
class PictureAnswer:
    """The champion's answer about one picture, or why there is none.

    Attributes:
        file: The picture's path as given.
        model_version: The registered version that answered; empty if none did.
        weights_digest: Its weights.
        blessing_id: The verdict that let it serve.
        instances: One dict per instance, best score first: class_name, score, box_xyxy (px), segmentation
            (COCO RLE). Box and mask are in the picture as its file stores it, before any EXIF orientation.
        error: Why there is no answer; empty if there is one.
        name: The picture's path below the folder that was named.
        passed_over: It was found in a folder and not asked about; ``error`` says why.
    """

    file: str
    model_version: str
    weights_digest: str
    blessing_id: str
    instances: tuple[dict[str, Any], ...]
    error: str = ""
    name: str = ""
    passed_over: bool = False


def list_files(named: Sequence[Path]) -> list[IncomingFile]:
    """Expand folders into the files below them, sorted; a file counts once, however often it was named.

    Files named one by one are always predicted; in folders, files that are not pictures are skipped.

    Raises:
        DataError: if there is no picture among them; it says what there is.
    """
    found: dict[str, tuple[Path, bool]] = {}
    for path in named:
        is_folder = path.is_dir()
        below = sorted(file for file in path.rglob("*") if file.is_file()) if is_folder else [path]
        for file in below:
            found.setdefault(_absolute(file), (file, is_folder))
    root = _common_folder(named)
    files = [
        IncomingFile(path, _name_below(root, where), _why_passed_over(path) if is_from_folder else "")
        for where, (path, is_from_folder) in found.items()
    ]
    if all(file.passed_over for file in files):
        passed_over = _count_passed_over((file.name, file.passed_over) for file in files)
        raise DataError(
            "there are no pictures here" + (f": {passed_over}" if passed_over else ""),
            where=", ".join(map(str, named)),
            hint=f"name {FORMATS_READ} files, or a folder with some",
        )
    return files


def overlay_file(directory: Path, name: str) -> Path:
    """Return where the drawing of a picture's answer goes: no two pictures share one.

    >>> overlay_file(Path("drawn"), "left/0003.jpg").as_posix()
    'drawn/left/0003.jpg.overlay.png'
    """
    return directory / f"{name}{OVERLAY_ENDING}"


def tell_passed_over(files: Iterable[IncomingFile]) -> list[PictureAnswer]:
    """Return the sentences about files that were skipped."""
    return [
        PictureAnswer(str(file.path), "", "", "", (), file.passed_over, file.name, passed_over=True)
        for file in files
        if file.passed_over
    ]


def balance(answers: Sequence[PictureAnswer]) -> list[str]:
    """Say what came and what became of it, in sentences that count every file once.

    >>> from dataclasses import replace
    >>> jpeg, text = (PictureAnswer(name, "1", "w", "b", (), name=name) for name in ("a.jpg", "b.txt"))
    >>> balance([jpeg, replace(text, error="not JPEG or PNG", passed_over=True)])
    ['2 files: 1 answered, 0 failed, 1 passed over', 'passed over: 1 .txt (not JPEG or PNG)']
    """
    passed_over = [answer for answer in answers if answer.passed_over]
    failed = [answer for answer in answers if answer.error and not answer.passed_over]
    num_files, num_answered = len(answers), len(answers) - len(passed_over) - len(failed)
    sentences = [
        f"{num_files} file{'' if num_files == 1 else 's'}: {num_answered} answered, {len(failed)} failed, "
        f"{len(passed_over)} passed over"
    ]
    if failed:
        sentences.append(f"failed: {_count_failed(failed)}")
    if passed_over:
        sentences.append(f"passed over: {_count_passed_over((one.name, one.error) for one in passed_over)}")
    return sentences


def _count_failed(failed: Sequence[PictureAnswer]) -> str:
    """Count them by reason, and name the first of each."""
    counts = Counter(answer.error for answer in failed)
    first = {answer.error: answer.name for answer in reversed(failed)}
    told = [f"{number} ({reason}; first: {first[reason]})" for reason, number in counts.most_common()]
    left_out = len(told) - _MOST_REASONS
    return ", ".join(told[:_MOST_REASONS]) + (f", and {left_out} other reasons" if left_out > 0 else "")


def _count_passed_over(files: Iterable[tuple[str, str]]) -> str:
    """Count files, each a name and a reason, by reason and ending."""
    endings: dict[str, Counter[str]] = {}
    for name, reason in files:
        endings.setdefault(reason, Counter())[PurePosixPath(name).suffix.lower() or "without ending"] += 1
    return "; ".join(
        f"{', '.join(f'{number} {ending}' for ending, number in counts.most_common())} ({reason})"
        for reason, counts in endings.items()
    )


def _why_passed_over(path: Path) -> str:
    if path.name.endswith(OVERLAY_ENDING):
        return _OWN_DRAWING
    try:
        with path.open("rb") as file:
            sniff_format(file.read(LONGEST_MAGIC_BYTES))
    except PictureError:
        return _UNREAD
    except OSError:
        return ""  # asked about, so that the reason is told with its name
    return ""


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - a link stays what it is called, `..` goes


def _common_folder(named: Sequence[Path]) -> str:
    folders = [_absolute(path if path.is_dir() else path.parent) for path in named]
    return os.path.commonpath(folders) if folders else ""


def _name_below(root: str, where: str) -> str:
    return Path(where).relative_to(root).as_posix()
