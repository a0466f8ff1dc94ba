"""Parts of TIFF files too large for memory: what a window needs is cut out as a small TIFF of its own.

The strips or tiles of the file that a window touches are copied as they are, still compressed, into a file
that the usual decoder reads in its usual child process. Only the directory is read here, in Python, so a
hostile file never meets native code in this process. TIFF 6.0; BigTIFF is read too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from dataset.raw.raw_picture import choose_page
from dataset.raw.tiff import is_tiff, list_full_pages
from maskloop.errors import PictureError

if TYPE_CHECKING:
    from tifffile import TiffPage

_COPIED: Final = (258, 259, 262, 266, 277, 284, 292, 293, 317, 320, 338, 339, 347, 530, 532, 42113, 50674)
"""Tags that say how values are stored, packed and meant."""
_WIDTH, _HEIGHT, _STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_BYTES = 256, 257, 273, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 322, 323, 324, 325
_LONG, _LAST_CLASSIC_TYPE = 4, 12
_UNCOMPRESSED, _SEPARATE_PLANES = 1, 2
_ORIENTATION: Final = 274
_MAX_SIDE_PX: Final = 2**31


@dataclass(frozen=True)
class _Tag:
    kind: int
    count: int
    packed: bytes


@dataclass(frozen=True)
class _Block:
    """Neighbouring strips or tiles of the file.

    Attributes:
        top_px: First row in the picture.
        left_px: First column.
        height_px: Rows in the picture.
        width_px: Columns.
        segments: For each that is copied, offset and size in bytes of the parts of the file it is made of.
    """

    top_px: int
    left_px: int
    height_px: int
    width_px: int
    segments: list[list[tuple[int, int]]]


class TiffScene:
    """One page of a TIFF file of which windows are read.

    Args:
        file: Readable and seekable; stays open while windows are read.
        page: Which page is read, counted from 1; None: the file must have one.

    Attributes:
        height_px: The page's height.
        width_px: Its width.

    Raises:
        PictureError: if it is no TIFF file, is broken, or needs the package that reads it.
    """

    def __init__(self, file: IO[bytes], *, page: int | None = None) -> None:
        self._file = file
        start = file.read(4)
        if not is_tiff(start):
            raise PictureError("this is no TIFF file")
        try:
            self._page = _open_page(file, page)
            self._order = "<" if start.startswith(b"II") else ">"
            self.height_px, self.width_px = int(self._page.imagelength), int(self._page.imagewidth)
            self._tags = [*self._copy_tags()]
        except (PictureError, ModuleNotFoundError):
            raise
        except Exception as error:  # a directory of hostile bytes may raise anything
            raise PictureError(f"the TIFF's directory cannot be read: {error}") from error
        if not (0 < self.height_px < _MAX_SIDE_PX and 0 < self.width_px < _MAX_SIDE_PX):
            raise PictureError(f"a TIFF of {self.width_px} x {self.height_px} px is not read")
        if self._page.imagedepth != 1:
            raise PictureError("a TIFF of several layers in one page is not read in parts")

    @property
    def geo_keys(self) -> Mapping[str, Any] | None:
        """What a GeoTIFF says about its place, by the names of the keys; None of other files."""
        try:
            keys: Mapping[str, Any] | None = self._page.geotiff_tags
        except Exception:  # noqa: BLE001 - keys of hostile bytes may raise anything, and place nothing
            return None
        return keys

    @property
    def orientation(self) -> int:
        """How the page is stored, as EXIF and TIFF count: 1 (upright) to 8."""
        tag = self._page.tags.get(_ORIENTATION)
        return int(tag.value) if tag is not None and tag.value in range(1, 9) else 1

    def read(
        self,
        decode: Callable[[bytes], NDArray[np.uint8]],
        *,
        top_px: int,
        left_px: int,
        height_px: int,
        width_px: int,
        max_mpx: float,
    ) -> NDArray[np.uint8]:
        """Return the pixels of a window that lies inside the page, uint8 (H, W, 3), as the file stores them.

        Args:
            decode: Decodes a small TIFF file into uint8 (H, W, 3).
            top_px: First row.
            left_px: First column.
            height_px: Number of rows.
            width_px: Number of columns.
            max_mpx: Million px that are decoded at once, at most.

        Raises:
            PictureError: if a strip or tile is larger than that, or cannot be decoded.
            OSError: if the file cannot be read.
        """
        window = np.empty((height_px, width_px, 3), np.uint8)
        for block in self._find_blocks(top_px, left_px, height_px, width_px, int(max_mpx * 1e6)):
            pixels = decode(self._write_file(block))
            if pixels.shape != (block.height_px, block.width_px, 3):
                raise PictureError("a part of the TIFF has another size than its directory says")
            top, left = max(block.top_px, top_px), max(block.left_px, left_px)
            bottom = min(block.top_px + block.height_px, top_px + height_px)
            right = min(block.left_px + block.width_px, left_px + width_px)
            window[top - top_px : bottom - top_px, left - left_px : right - left_px] = pixels[
                top - block.top_px : bottom - block.top_px, left - block.left_px : right - block.left_px
            ]
        return window

    def _find_blocks(
        self, top_px: int, left_px: int, height_px: int, width_px: int, max_px: int
    ) -> Iterator[_Block]:
        """Yield what covers a window, in stretches that may be decoded at once."""
        page = self._page
        rows_at_once, columns_at_once = self._segment_size()
        if rows_at_once * columns_at_once > max_px:
            raise PictureError(
                f"the TIFF is packed in pieces of {columns_at_once} x {rows_at_once} px, which are too large "
                "to be unpacked one by one",
                hint="rewrite it in tiles: `gdal_translate -co TILED=YES IN.tif OUT.tif`",
            )
        first_row, last_row = top_px // rows_at_once, (top_px + height_px - 1) // rows_at_once
        first_column, last_column = left_px // columns_at_once, (left_px + width_px - 1) // columns_at_once
        wide = min(last_column - first_column + 1, max_px // (rows_at_once * columns_at_once))
        high = max(1, max_px // (wide * rows_at_once * columns_at_once))
        for row in range(first_row, last_row + 1, high):
            for column in range(first_column, last_column + 1, wide):
                rows = range(row, min(row + high, last_row + 1))
                columns = range(column, min(column + wide, last_column + 1))
                top, left = row * rows_at_once, column * columns_at_once
                yield _Block(
                    top,
                    left,
                    min(len(rows) * rows_at_once, page.imagelength - top),
                    min(len(columns) * columns_at_once, page.imagewidth - left),
                    [*self._find_segments(rows, columns)],
                )

    @property
    def _is_in_rows(self) -> bool:
        """Its strips are not compressed, so each row can be read by itself."""
        return not self._page.is_tiled and int(self._page.compression) == _UNCOMPRESSED

    @property
    def _num_planes(self) -> int:
        is_separate = int(self._page.planarconfig or 1) == _SEPARATE_PLANES
        return int(self._page.samplesperpixel) if is_separate else 1

    def _segment_size(self) -> tuple[int, int]:
        """Return rows and columns of what can be read by itself."""
        page = self._page
        if page.is_tiled:
            return int(page.tilelength), int(page.tilewidth)
        return (1 if self._is_in_rows else min(int(page.rowsperstrip), self.height_px)), self.width_px

    def _find_segments(self, rows: range, columns: range) -> Iterator[list[tuple[int, int]]]:
        """Yield the segments of a block in the order in which its file lists them."""
        page = self._page
        offsets, sizes = page.dataoffsets, page.databytecounts
        if self._is_in_rows:
            yield from self._find_rows(rows)
            return
        rows_at_once, columns_at_once = self._segment_size()
        across, down = -(-self.width_px // columns_at_once), -(-self.height_px // rows_at_once)
        for plane in range(self._num_planes):
            for row in rows:
                for column in columns:
                    number = (plane * down + row) * across + column
                    yield [(int(offsets[number]), int(sizes[number]))]

    def _find_rows(self, rows: range) -> Iterator[list[tuple[int, int]]]:
        """Yield, for each plane, the stretches of the file that hold these rows."""
        page = self._page
        samples = int(page.samplesperpixel) // self._num_planes
        row_bytes = -(-self.width_px * samples * int(page.bitspersample) // 8)
        at_once = min(int(page.rowsperstrip), self.height_px)
        down = -(-self.height_px // at_once)
        for plane in range(self._num_planes):
            parts = []
            for strip in range(rows[0] // at_once, rows[-1] // at_once + 1):
                first, last = max(rows[0], strip * at_once), min(rows[-1] + 1, (strip + 1) * at_once)
                begin = int(page.dataoffsets[plane * down + strip]) + (first - strip * at_once) * row_bytes
                parts.append((begin, (last - first) * row_bytes))
            yield parts

    def _copy_tags(self) -> Iterator[tuple[int, _Tag]]:
        for code in _COPIED:
            tag = self._page.tags.get(code)
            if tag is not None and int(tag.dtype) <= _LAST_CLASSIC_TYPE:
                self._file.seek(tag.valueoffset)
                yield code, _Tag(int(tag.dtype), tag.count, self._file.read(tag.valuebytecount))

    def _write_file(self, block: _Block) -> bytes:
        """Return a TIFF file of a block."""
        segments = [b"".join(map(self._read_part, parts)) for parts in block.segments]
        tags = {
            **dict(self._tags),
            _WIDTH: self._longs(block.width_px),
            _HEIGHT: self._longs(block.height_px),
        }
        if self._page.is_tiled:
            rows, columns = self._segment_size()
            tags |= {_TILE_WIDTH: self._longs(columns), _TILE_HEIGHT: self._longs(rows)}
            place, sizes = _TILE_OFFSETS, _TILE_BYTES
        else:
            rows = block.height_px if self._is_in_rows else self._segment_size()[0]
            tags[_ROWS_PER_STRIP] = self._longs(rows)
            place, sizes = _STRIP_OFFSETS, _STRIP_BYTES
        tags[sizes] = self._longs(*map(len, segments))
        tags[place] = self._longs(*([0] * len(segments)))
        at = len(_pack_directory(tags, self._order))
        ends = at + np.cumsum([0, *map(len, segments)])
        tags[place] = self._longs(
            *(int(end) if segment else 0 for end, segment in zip(ends, segments, strict=False))
        )
        return b"".join((_pack_directory(tags, self._order), *segments))

    def _read_part(self, part: tuple[int, int]) -> bytes:
        begin, num_bytes = part
        self._file.seek(begin)
        data = self._file.read(num_bytes)
        if len(data) != num_bytes:
            raise PictureError("the TIFF is incomplete")
        return data

    def _longs(self, *numbers: int) -> _Tag:
        return _Tag(_LONG, len(numbers), struct.pack(f"{self._order}{len(numbers)}I", *numbers))


def _open_page(file: IO[bytes], page: int | None) -> TiffPage:
    import tifffile

    file.seek(0)
    pages = list_full_pages(tifffile.TiffFile(file))
    return pages[choose_page(len(pages), page, called="page")]


def _pack_directory(tags: dict[int, _Tag], order: str) -> bytes:
    """Return header, directory and the values that do not fit into it; tags sorted, as TIFF asks."""
    beside_at = 8 + 2 + 12 * len(tags) + 4
    entries, beside = b"", b""
    for code, tag in sorted(tags.items()):
        entries += struct.pack(f"{order}HHI", code, tag.kind, tag.count)
        if len(tag.packed) <= 4:
            entries += tag.packed.ljust(4, b"\0")
        else:
            entries += struct.pack(f"{order}I", beside_at + len(beside))
            beside += tag.packed + b"\0" * (len(tag.packed) % 2)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    return start + struct.pack(f"{order}H", len(tags)) + entries + b"\0\0\0\0" + beside
