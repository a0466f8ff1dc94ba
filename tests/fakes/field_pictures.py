"""Files as cameras, scanners and phones write them: deep PNG, TIFF, DICOM, HEIC."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any, Final

import numpy as np
import pytest
from PIL import Image


def deep_png(values: np.ndarray) -> bytes:
    """A PNG of uint16, grey (H, W) or RGB (H, W, 3)."""
    height, width = values.shape[:2]
    if values.ndim == 2:
        buffer = io.BytesIO()
        Image.fromarray(values).save(buffer, "PNG")
        return buffer.getvalue()
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = b""
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return b"\x89PNG\r\n\x1a\n" + chunks


def tiff(values: np.ndarray, **options: Any) -> bytes:
    """A TIFF as tifffile writes it; a test that asks for one is skipped where that is not installed."""
    tifffile = pytest.importorskip("tifffile")
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def dicom(values: np.ndarray, photometric: str = "MONOCHROME2", **elements: Any) -> bytes:
    """A DICOM file of a patient called Doe^Jane, as pydicom writes it; skips likewise.

    Args:
        values: (H, W), (frames, H, W), or (H, W, 3) for RGB.
        photometric: What the values mean.
        elements: Further elements, by keyword.
    """
    pydicom = pytest.importorskip("pydicom")
    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    file.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    file.PatientName, file.InstitutionAddress = "Doe^Jane", "1 Hospital Road"
    is_rgb = photometric == "RGB"
    file.Rows, file.Columns = values.shape[:2] if is_rgb else values.shape[-2:]
    file.SamplesPerPixel = 3 if is_rgb else 1
    if is_rgb:
        file.PlanarConfiguration = 0
    elif values.ndim == 3:
        file.NumberOfFrames = len(values)
    file.PhotometricInterpretation = photometric
    file.BitsAllocated = file.BitsStored = 8 * values.dtype.itemsize
    file.HighBit = file.BitsStored - 1
    file.PixelRepresentation = int(values.dtype.kind == "i")
    file.PixelData = values.tobytes()
    for keyword, value in elements.items():
        setattr(file, keyword, value)
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


HEIC: Final = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAA"
    "AAAAADRpbG9jAAAAAERAAAIAAQAAAAAB7AABAAAAAAAAAQkAAgAAAAAC9QABAAAAAAAAAGYAAAA4aWluZgAAAAAAAgAAABVp"
    "bmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADmaXBjbwAAAHZo"
    "dmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAA"
    "AwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAA"
    "AAAAQAAAAEAAAAAoY2xhcAAAADAAAAABAAAAIAAAAAH////wAAAAAv///+AAAAACAAAAEHBpeGkAAAAAAwgICAAAAAlpcm90"
    "AwAAABlpcG1hAAAAAAAAAAEAAQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAXdtZGF0AAABBSgBrwngFVyy"
    "rgJKqmpaWazSDtjuVnqFjjO2zoHOOBM/hSbon+K2YXdqvwpkuxNKm+kWiQ1fVB09MoxJAOj6HyW4S9d5vwTKXcJcJ3tXZoMH"
    "96RSXYtJLVMkGn9WA7fYH87E+cp8zSxyMXlOaTnWnrb0q1SOkqUDmoiMvfsn6cD6PB7R/Q2Qgx7LpQe7C7lC3P6jIGed8x3e"
    "upZh/cP3Wqp9SH+Q+Ag/a6SlByK27WjCs18YqoBGwYRMR//Hnw0e52/ssFMZpS8vz9tDzSj9V0IK4PW46H7cQ/4ayDqp66UB"
    "v8i76CnN8zx3g0YHIiqJYL7RIG5oWREH0AFBn29P+uPIA5ypvAAAAAZFeGlmAABNTQAqAAAACAACARIAAwAAAAEABgAAiCUA"
    "BAAAAAEAAAAmAAAAAAACAAEAAgAAAAJOAAAAAAIABQAAAAMAAABEAAAAAAAAADAAAAABAAAACAAAAAEAAAAeAAAAAQ=="
)
"""48 x 32 px as `heic_pixels` draws them, to be shown turned by 90 degrees, with a place in its EXIF."""


def heic_pixels() -> np.ndarray:
    """What `HEIC` shows, upright, up to what its coding loses: uint8 (48, 32, 3)."""
    y, x = np.mgrid[0:32, 0:48]
    checks = np.where((x // 8 + y // 8) % 2, 200, 40)
    return np.rot90(np.stack([x * 5, y * 7, checks], axis=2).astype(np.uint8), -1)
