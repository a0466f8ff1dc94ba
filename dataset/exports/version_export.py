"""A data version as a folder or ZIP archive for another tool: labels are written and read back first.

Only when it is known what the format does not hold, and a person accepts that, are pictures copied. The
same version gives the same bytes.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from dataset.exports.losses import Loss, describe, find_losses, summarise
from dataset.exports.port import ExportedVersion, LabelWriter, name_pictures
from dataset.labelled_pictures import DatasetVersion, Split
from maskloop.errors import NotFoundError, RefusedError
from maskloop.files import directory_written_atomically, storage_error, written_atomically
from maskloop.wording import count

_COMMON_ENDINGS: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
_MOMENT: Final = (1980, 1, 1, 0, 0, 0)
_FILE_MODE: Final = 0o100644
_UNIX: Final = 3
_BLOCK_BYTES: Final = 2**20


@dataclass(frozen=True)
class ExportReport:
    """What was exported.

    Attributes:
        tag: Of the data version.
        format: What people call it.
        target: The folder or archive.
        num_pictures: In it.
        num_instances: In the data version's pictures, crowd regions included.
        losses: What the format does not hold.
        rows: The same by kind of object.
        num_uncommon: Pictures in file formats that few tools open.
    """

    tag: str
    format: str
    target: Path
    num_pictures: int
    num_instances: int
    losses: tuple[Loss, ...]
    rows: tuple[dict[str, Any], ...]
    num_uncommon: int

    def sentences(self) -> list[str]:
        """Say it in words."""
        held = f"{count(self.num_pictures, 'picture')} with {count(self.num_instances, 'object')}"
        kept = describe(self.losses) if self.losses else "every mask is as it was, to the pixel"
        said = [f"{self.target}: {held} of {self.tag} as {self.format}; {kept}"]
        if self.num_uncommon:
            uncommon = f"{count(self.num_uncommon, 'picture')} exported as stored"
            said.append(f"{uncommon}, in file formats that few tools open, such as TIFF or DICOM")
        return said


def export_version(
    version: DatasetVersion,
    writer: LabelWriter,
    target: Path,
    *,
    split: Split | None = None,
    accepts_losses: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    tell_losses: Callable[[Sequence[dict[str, Any]]], None] = lambda rows: None,
) -> ExportReport:
    """Write a data version in another tool's format.

    Args:
        version: Whose pictures and labels.
        writer: Of the format.
        target: A folder that does not exist or is empty, or a file that ends with .zip.
        split: Its pictures alone; None takes all.
        accepts_losses: Write what the format holds, even if that is not all.
        progress: Told how many files are done, and how many there are.
        tell_losses: Told what the format does not hold, by kind, before anything is written.

    Raises:
        RefusedError: if something is at the target, or the format does not hold everything.
        NotFoundError: if the split has no pictures.
        StorageError: if the disk is full or the target cannot be written; nothing is left of it.
    """
    _refuse_to_overwrite(target)
    chosen = [picture for picture in version.pictures if split in (None, picture.split)]
    if not chosen:
        raise NotFoundError(f"{version.tag} has no pictures in {split}", hint="leave --split out")
    exported = ExportedVersion(version.tag, version.class_names, name_pictures(chosen))
    with tempfile.TemporaryDirectory(prefix="maskloop-export-") as scratch:
        folder = Path(scratch)
        sources = _write_labels(version, exported, writer, folder)
        losses = find_losses(writer, exported, folder, sources)
        rows = summarise(losses, exported)
        num_instances = sum(len(picture.instances) for picture in chosen)
        if losses:
            tell_losses(rows)
        if losses and not accepts_losses:
            raise RefusedError(
                f"{writer.format} does not hold all of {version.tag}: {describe(losses)}",
                where=str(target),
                hint="--accept-loss writes the rest; coco, datumaro, fiftyone and labelme hold everything",
            )
        _deliver(folder, target, progress)
    return ExportReport(
        tag=version.tag,
        format=writer.format,
        target=target,
        num_pictures=len(chosen),
        num_instances=num_instances,
        losses=tuple(losses),
        rows=tuple(rows),
        num_uncommon=sum(PurePosixPath(each.file).suffix.lower() not in _COMMON_ENDINGS for each in chosen),
    )


def _refuse_to_overwrite(target: Path) -> None:
    if target.is_dir() and any(target.iterdir()):
        raise RefusedError(
            "the folder is not empty, and an export overwrites nothing",
            where=str(target),
            hint="name another one, or remove it first",
        )
    if target.exists() and not target.is_dir():
        hint = "name a folder or a .zip file that does not exist"
        raise RefusedError("there is a file already", where=str(target), hint=hint)


def _write_labels(
    version: DatasetVersion, exported: ExportedVersion, writer: LabelWriter, folder: Path
) -> tuple[str, ...]:
    """Write the labels, with a link for each picture. Returns what `LabelWriter.write` does."""
    try:
        for picture in exported.pictures:
            link = folder / writer.place(picture)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(version.path(picture.labelled).resolve())
        return writer.write(exported, folder)
    except OSError as error:
        raise storage_error(error, folder) from error


def _deliver(folder: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    """Copy a folder with its pictures to where a person wants it."""
    files = sorted(path for path in folder.rglob("*") if not path.is_dir())
    if target.suffix.lower() == ".zip":
        with written_atomically(target) as beside, zipfile.ZipFile(beside, "w") as archive:
            for number, path in enumerate(files, start=1):
                _pack(archive, path, path.relative_to(folder).as_posix())
                progress(number, len(files))
        return
    with directory_written_atomically(target) as beside:
        for number, path in enumerate(files, start=1):
            copy = beside / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            progress(number, len(files))


def _pack(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    """Add a file without its time and owner; pictures, which are links, are compressed already."""
    entry = zipfile.ZipInfo(name, _MOMENT)
    entry.create_system, entry.external_attr = _UNIX, _FILE_MODE << 16
    entry.compress_type = zipfile.ZIP_STORED if path.is_symlink() else zipfile.ZIP_DEFLATED
    with path.open("rb") as file, archive.open(entry, "w", force_zip64=True) as packed:
        shutil.copyfileobj(file, packed, _BLOCK_BYTES)
