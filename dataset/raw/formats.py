"""The formats that are read as raw pictures, each a row of one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from dataset.raw.dicom import is_dicom, read_dicom
from dataset.raw.heic import is_heic, read_heic
from dataset.raw.raw_picture import RawPicture
from dataset.raw.tiff import is_tiff, read_tiff
from maskloop.errors import PictureError


class Reader(Protocol):
    """Reads one format. It imports the library when it is called, which the decoding child alone does."""

    def __call__(self, data: bytes, *, page: int | None, max_mpx: float) -> RawPicture:
        """Read a file.

        Raises:
            PictureError: if it is too large, which its header states, or is not what is read here.
            ModuleNotFoundError: if the library is not installed.
            Exception: whatever the library raises for a broken file.
        """
        ...


@dataclass(frozen=True)
class RawFormat:
    """One format.

    Attributes:
        name: As people call it.
        extension: Of its files.
        extra: The extra of maskloop that installs what reads it.
        is_one: Tells it by a file's first bytes.
        reader: Reads it.
    """

    name: str
    extension: str
    extra: str
    is_one: Callable[[bytes], bool]
    reader: Reader

    def read(self, data: bytes, *, page: int | None, max_mpx: float) -> RawPicture:
        """Do what the reader does. Raises PictureError too if its library is not installed."""
        try:
            return self.reader(data, page=page, max_mpx=max_mpx)
        except ModuleNotFoundError as error:
            raise PictureError(
                f"{self.name} pictures need the package {error.name}, which is not installed",
                hint=f"install maskloop with its extra: pip install 'maskloop[{self.extra}]'",
            ) from error


RAW_FORMATS: Final = (
    RawFormat("TIFF", ".tif", "tiff", is_tiff, read_tiff),
    RawFormat("DICOM", ".dcm", "dicom", is_dicom, read_dicom),
    RawFormat("HEIC", ".heic", "heic", is_heic, read_heic),
)


def find_raw_format(data: bytes) -> RawFormat | None:
    """Return the format of a file, told by its first bytes, or None if it is none of these."""
    return next((one for one in RAW_FORMATS if one.is_one(data)), None)
