"""How the values of a picture become 8-bit RGB: one setting for data, model and service.

Pixels of 8 bits, as in a JPEG, are RGB already. All other values need a rule, and a rule found per file (its
own darkest and brightest value, its own display window) would show the same object in another grey in the
next file. So the rule is stated once, in `[pictures]` of `maskloop.toml`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from dataset.raw.raw_picture import RawPicture
from maskloop.errors import PictureError

if TYPE_CHECKING:
    from maskloop.settings.picture_settings import PictureSettings  # the decoding child needs no settings

_FULL_RANGE: Final = (0.0, 65536.0)
"""Of unsigned 16-bit values: the upper byte is the grey level."""
_NUM_LEVELS: Final = 256
_VALUES_PER_BLOCK: Final = 2**22


@dataclass(frozen=True)
class PictureConversion:
    """The conversion of all pictures in a data version, and of those its models are asked about.

    Attributes:
        value_range: What becomes black and what becomes white, in evenly spaced grey levels; lower and higher
            values are clipped. None: all of the range of unsigned 16-bit values; other values of more than 8
            bits are refused.
        bands: The bands that become red, green and blue, counted from 1, or the one that becomes grey. Empty:
            the file must have one band or three.
        page: Which page of a TIFF or frame of a DICOM file is read, counted from 1. None: it must have one.
        nodata: A value that says that nothing was measured; it becomes black.
    """

    value_range: tuple[float, float] | None = None
    bands: tuple[int, ...] = ()
    page: int | None = None
    nodata: float | None = None

    def __post_init__(self) -> None:
        low, high = self.value_range or _FULL_RANGE
        numbers = (low, high, self.nodata or 0.0)
        if not all(map(math.isfinite, numbers)) or low >= high:
            raise ValueError(f"a value range from {low} to {high}, nodata {self.nodata}")
        if len(self.bands) not in (0, 1, 3) or any(
            number < 1 for number in (*self.bands, 1 if self.page is None else self.page)
        ):
            raise ValueError(f"bands {self.bands}, page {self.page}")

    def sentence(self) -> str:
        """Describe it in words.

        >>> PictureConversion((0.0, 4096.0), bands=(3, 2, 1)).sentence()
        'values 0 to 4096, bands 3 2 1'
        """
        said = []
        if self.value_range:
            said.append(f"values {self.value_range[0]:g} to {self.value_range[1]:g}")
        if self.bands:
            said.append(f"bands {' '.join(map(str, self.bands))}")
        if self.page is not None:
            said.append(f"page {self.page}")
        if self.nodata is not None:
            said.append(f"no data where the value is {self.nodata:g}")
        return ", ".join(said) or "the full 16-bit range"

    def to_json(self) -> dict[str, Any]:
        """Return what was stated as plain values.

        >>> PictureConversion((0.0, 4096.0)).to_json()
        {'value_range': [0.0, 4096.0]}
        """
        stated: dict[str, Any] = {}
        if self.value_range:
            stated["value_range"] = list(self.value_range)
        if self.bands:
            stated["bands"] = list(self.bands)
        if self.page is not None:
            stated["page"] = self.page
        if self.nodata is not None:
            stated["nodata"] = self.nodata
        return stated

    @classmethod
    def from_json(cls, stated: Mapping[str, Any]) -> PictureConversion:
        """Return the conversion that `to_json` describes. Raises ValueError, TypeError."""
        value_range, page, nodata = (stated.get(name) for name in ("value_range", "page", "nodata"))
        return cls(
            None if value_range is None else (float(value_range[0]), float(value_range[1])),
            tuple(map(int, stated.get("bands", ()))),
            None if page is None else int(page),
            None if nodata is None else float(nodata),
        )


DEFAULT_CONVERSION: Final = PictureConversion()
"""Nothing is stated."""


def conversion_of(settings: PictureSettings) -> PictureConversion:
    """Return the conversion that settings state; a bit depth and a window are ways to state a value range.

    >>> from maskloop.settings.picture_settings import PictureSettings
    >>> conversion_of(PictureSettings(depth_bits=12)).value_range
    (0.0, 4096.0)
    >>> conversion_of(PictureSettings(window=(40.0, 400.0))).value_range
    (-160.0, 240.0)
    """
    value_range = settings.value_range
    if settings.depth_bits is not None:
        value_range = (0.0, float(2**settings.depth_bits))
    if settings.window is not None:
        centre, width = settings.window
        value_range = (centre - width / 2, centre + width / 2)
    if value_range == _FULL_RANGE:
        value_range = None
    return PictureConversion(value_range, settings.bands, settings.page, settings.nodata)


def convert(raw: RawPicture, conversion: PictureConversion) -> NDArray[np.uint8]:
    """Return a picture as uint8 RGB, (H, W, 3). Pure.

    A value v of more than 8 bits becomes the grey level floor(256 * (v - low) / (high - low)), clipped to 0
    to 255; 8-bit values stay. The result is inverted if the lowest value is white. Where nothing was measured
    (``nodata``, NaN) it is black.

    Raises:
        PictureError: if the conversion does not say what the values or bands mean.
    """
    values, dtype = raw.values, raw.values.dtype
    bands = _choose_bands(values.shape[2], conversion.bands)
    if dtype not in (np.uint8, np.uint16) and conversion.value_range is None:
        raise PictureError(
            f"nothing says which values are black and white: they are of the type {dtype}",
            hint="set pictures.value_range = [black, white] in maskloop.toml",
        )
    to_levels = _level_table(raw, conversion) if dtype in (np.uint8, np.uint16) else None
    pixels = np.empty((*values.shape[:2], 3), np.uint8)
    num_rows = max(1, _VALUES_PER_BLOCK // values[0].size)
    for top in range(0, len(values), num_rows):
        rows = slice(top, top + num_rows)
        block = values[rows][:, :, bands]
        _refuse_unstated_nodata(block, raw.declared_nodata, conversion)
        pixels[rows] = (
            _grey_levels(block, raw.is_white_zero, conversion) if to_levels is None else to_levels[block]
        )
    return pixels


def count_bits_used(raw: RawPicture, conversion: PictureConversion) -> int:
    """Return the bits that the largest of unsigned 16-bit values needs, 0 if a value range was stated."""
    is_asked = raw.values.dtype == np.uint16 and conversion.value_range is None
    return int(raw.values.max()).bit_length() if is_asked else 0


def _level_table(raw: RawPicture, conversion: PictureConversion) -> NDArray[np.uint8]:
    """Return the grey level of every value that 8 or 16 unsigned bits can have."""
    possible = np.arange(np.iinfo(raw.values.dtype).max + 1, dtype=raw.values.dtype)
    return _grey_levels(possible, raw.is_white_zero, conversion)


def _grey_levels(
    values: NDArray[Any], is_white_zero: bool, conversion: PictureConversion
) -> NDArray[np.uint8]:
    """Convert values of any shape, each by itself."""
    if values.dtype == np.uint8:
        levels = values.astype(np.float64)
    else:
        low, high = conversion.value_range or _FULL_RANGE
        levels = np.floor((values.astype(np.float64) - low) * (_NUM_LEVELS / (high - low)))
        levels = levels.clip(0, _NUM_LEVELS - 1)
    if is_white_zero:
        levels = _NUM_LEVELS - 1 - levels
    levels[np.isnan(levels) | _is_value(values, conversion.nodata)] = 0
    return levels.astype(np.uint8)


def _is_value(values: NDArray[Any], value: float | None) -> NDArray[np.bool_]:
    """Tell where an array has a value, which need not be one of its type."""
    if value is None or (values.dtype.kind in "ui" and not _fits(value, values)):
        return np.zeros(values.shape, np.bool_)
    return np.asarray(values == values.dtype.type(value))


def _fits(value: float, values: NDArray[Any]) -> bool:
    """Tell whether a value is one of an integer type."""
    bounds = np.iinfo(values.dtype)
    return value.is_integer() and bounds.min <= value <= bounds.max


def _choose_bands(num_bands: int, stated: tuple[int, ...]) -> list[int]:
    """Return the indices of the bands that are read, one or three."""
    if not stated and num_bands in (1, 3):
        return list(range(num_bands))
    have = f"the picture has {num_bands} band{'' if num_bands == 1 else 's'}"
    if not stated:
        raise PictureError(
            f"{have}, and which are red, green and blue was not stated",
            hint="set pictures.bands = [red, green, blue] in maskloop.toml, counted from 1",
        )
    if max(stated) > num_bands:
        raise PictureError(f"{have}, and band {max(stated)} is read (pictures.bands)")
    return [number - 1 for number in stated]


def _refuse_unstated_nodata(
    values: NDArray[Any], declared: float | None, conversion: PictureConversion
) -> None:
    """The file says that nothing was measured at some pixels: shown as values they would be learned from."""
    if declared != conversion.nodata and _is_value(values, declared).any():
        raise PictureError(
            f"nothing was measured where the value is {declared:g}, as the file says",
            hint=f"set pictures.nodata = {declared:g} in maskloop.toml, and these pixels become black",
        )
