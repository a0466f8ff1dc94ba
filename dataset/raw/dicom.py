"""DICOM files, read with pydicom. What they say about a patient is left out.

Values are as the modality means them: the rescale slope and intercept, or its table, are applied, so that a
computed tomogram is in Hounsfield units. The display window of a file is not used.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from dataset.raw.raw_picture import RawPicture, choose_page, refuse_large, with_bands_last
from maskloop.errors import PictureError

if TYPE_CHECKING:
    from pydicom import Dataset

_PREFIX_AT, _PREFIX = 128, b"DICM"
_COLOURS: Final = ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


def is_dicom(data: bytes) -> bool:
    """Tell a DICOM file by its first bytes (part 10, section 7.1)."""
    return data[_PREFIX_AT : _PREFIX_AT + len(_PREFIX)] == _PREFIX


def read_dicom(data: bytes, *, page: int | None, max_mpx: float) -> RawPicture:
    """Read one frame. See `dataset.raw.formats.Reader`."""
    from pydicom import dcmread
    from pydicom.pixels import pixel_array

    file = dcmread(io.BytesIO(data))
    if "PixelData" not in file:
        raise PictureError("the DICOM file holds no picture")
    width, height, num_bands = int(file.Columns), int(file.Rows), int(file.get("SamplesPerPixel", 1))
    frame = choose_page(int(file.get("NumberOfFrames") or 1), page, called="frame")
    refuse_large(width, height, num_bands * int(file.BitsAllocated) / 8, max_mpx=max_mpx)
    colours = str(file.PhotometricInterpretation)
    if colours not in _COLOURS:
        raise PictureError(f"the colours of the DICOM file are {colours}, which is not read")
    values = with_bands_last(pixel_array(file, index=frame), (height, width))
    return RawPicture(_rescaled(values, file, frame), is_white_zero=colours == "MONOCHROME1")


def _rescaled(values: NDArray[Any], file: Dataset, frame: int) -> NDArray[Any]:
    """Apply the rescale of the frame, which may stand in its functional groups (part 3, C.7.6.16)."""
    from pydicom.pixels import apply_modality_lut

    stated = file
    for groups, number in (
        ("PerFrameFunctionalGroupsSequence", frame),
        ("SharedFunctionalGroupsSequence", 0),
    ):
        items = file.get(groups)
        if items and (found := items[number].get("PixelValueTransformationSequence")):
            stated = found[0]
            break
    slope, intercept = stated.get("RescaleSlope", 1), stated.get("RescaleIntercept", 0)
    if "ModalityLUTSequence" not in stated and (slope, intercept) == (1, 0):
        return values
    rescaled: NDArray[Any] = apply_modality_lut(values, stated)
    return rescaled.astype(np.float32) if rescaled.dtype.kind == "f" else rescaled
