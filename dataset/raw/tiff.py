"""TIFF and GeoTIFF files, read with tifffile: any bits, bands, pages. Coordinates and texts stay behind."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from dataset.raw.raw_picture import RawPicture, choose_page, refuse_large, with_bands_last
from maskloop.errors import PictureError

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

_MAGIC: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION, _GDAL_NODATA = 274, 42113
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_JPEG: Final = frozenset({6, 7})
_IN_WORDS: Final = {5: "CMYK", 8: "CIE L*a*b*", 32803: "a colour filter array", 34892: "linear raw"}


def is_tiff(data: bytes) -> bool:
    """Tell a TIFF or BigTIFF file by its first bytes."""
    return data.startswith(_MAGIC)


def read_tiff(data: bytes, *, page: int | None, max_mpx: float) -> RawPicture:
    """Read one page. See `dataset.raw.formats.Reader`. Pages that repeat another one smaller do not count."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        pages = list_full_pages(file)
        chosen = pages[choose_page(len(pages), page, called="page")]
        width, height, num_bands = chosen.imagewidth, chosen.imagelength, chosen.samplesperpixel
        refuse_large(width, height, num_bands * chosen.bitspersample / 8, max_mpx=max_mpx)
        _refuse_other_colours(chosen)
        values = with_bands_last(chosen.asarray(maxworkers=1), (height, width))
        return RawPicture(
            _widened(values, chosen),
            _tag(chosen, _ORIENTATION, 1, int),
            is_white_zero=chosen.photometric == _WHITE_IS_ZERO,
            declared_nodata=_tag(chosen, _GDAL_NODATA, None, float),
        )


def list_full_pages(file: TiffFile) -> list[TiffPage]:
    """Return the pages of a file that do not repeat another one smaller, or mask one."""
    return [one for one in file.pages if not (one.is_reduced or one.is_mask)]


def _refuse_other_colours(page: TiffPage) -> None:
    kind = int(page.photometric)
    is_known = kind in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE)
    if not is_known and not (kind == _YCBCR and page.compression in _JPEG):
        raise PictureError(
            f"the colours of the TIFF are {_IN_WORDS.get(kind, f'of kind {kind}')}, which is not read",
            hint="save it as grey or RGB",
        )


def _widened(values: NDArray[Any], page: TiffPage) -> NDArray[Any]:
    """Spread values of fewer than 8 bits over 8; return the colours of a palette; leave others alone."""
    widened: NDArray[np.uint8]
    if page.photometric == _PALETTE:
        widened = (np.asarray(page.colormap) >> 8).astype(np.uint8).T[values[:, :, 0]]
        return widened
    if page.bitspersample < 8:
        largest = 2 ** int(page.bitspersample) - 1
        widened = (values.astype(np.uint16) * 255 // largest).astype(np.uint8)
        return widened
    if values.dtype.kind not in "uif":
        raise PictureError(f"values of the type {values.dtype} are not read")
    return values


def _tag(page: TiffPage, code: int, default: Any, convert: type) -> Any:
    tag = page.tags.get(code)
    try:
        return default if tag is None else convert(tag.value)
    except ValueError:
        return default
