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


GEOTIFF: Final = base64.b64decode(
    "SUkqAAgAAAATAAABAwABAAAAHgAAAAEBAwABAAAAFAAAAAIBAwAEAAAA8gAAAAMBAwABAAAABQAAAAYBAwABAAAAAQAAABUB"
    "AwABAAAABAAAABwBAwABAAAAAQAAAD0BAwABAAAAAgAAAEIBAwABAAAAEAAAAEMBAwABAAAAEAAAAEQBBAAEAAAAAgEAAEUB"
    "AwAEAAAA+gAAAFIBAwADAAAAEgEAAFMBAwAEAAAAGAEAAA6DDAADAAAAIAEAAIKEDAAGAAAAOAEAAK+HAwAgAAAAaAEAALGH"
    "AgAeAAAAqAEAAIGkAgAGAAAAxgEAADgGAAAQABAAEAAQADgBrwGzANIAzAEAAAQDAACzBAAAZgUAAAAAAAAAAAEAAQABAAEA"
    "AAAAAAAAJEAAAAAAAAAkQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAHAWJUEAAAAA9llUQQAAAAAAAAAA"
    "AQABAAAABwAABAAAAQABAAEEAAABAAEAAgSxhxYAAAABCLGHBwAWAAYIAAABAI4jAAwAAAEAeH8EDAAAAQApI1dHUyA4NCAv"
    "IFVUTSB6b25lIDMyTnxXR1MgODR8ADY1NTM1AIA/4FA4EAINB4MyQAAQALQCKRGZIOloPEoNFINFgBGABGo5HorE5DF5HG5L"
    "H5FGZTHZXIINBIJCIRCoUw4fEZbOZJKp3LJ7Lp9Jp5QqDKJ/OqJQIMkACLACKJxR6lSaRRqpU6tWZPW6HWq7MiwAmFT6jV7N"
    "XqLXLTX7Za7dQLhVZkIAHYahcaxarxZ71crbe7RSgA6AG7gFd79b8TgL7eb/i8TBlgBEIA8RjsVmMZj81kM7PYMeAKGgJl75"
    "nNPmdTm9VgciACABsnptdn9XntvttrRIMCAORgLtMbueJu+Nw+PCGgB25wbLydbyOlqOhrIMmAQcgNwup0+j3fB3/FBjACd9"
    "3PFrPVuOr7JkKAUngP6PXuu99eL3oM8AUNAQ+j3PC/D2vstqDFwBZlP+577wC9MHQGtSAoAQAMAAAYASKBGZIIAEtC4VBIbB"
    "IfDIdC4iAInF4zFYhHIpEotHo1IZBHZLHwArHpBAE72w3IXMQBAmQAHtB4TJIxOo3J5HJp3QJ7QZRQ6NPKRQJUOH+bHdL5lC"
    "4EkACjAVCKPQqTRa3P65WrBX7FXovKjg/ms7ahUZmBiwAhEC6xXZFdZ9dqJZLxWbHeJUqH6QLVMLZAhAA1xcpzYb1d8deb3d"
    "MffMbKXo4H4qnZa6jAnQAycDLnjMjpMnkshp9NqcsGH4FM3hM6BlgBHJosXfdVutZlNLvN9BJUUH2fnXnJlAjwBT0DdHwNRw"
    "d70epq5UiH06HVyJjAoEEAdz8r0vJ1ehq6HKmA+Sl29lyQMCAOpvDufH5vv6Pxv7K9HwfBeHS7ipAMaADh4B7xP5Bbdvy88H"
    "v6GB8BNAT3u6AxMAQaUEvtBjpv1EEIQ8lQ0HuSB0QGgiBIMNAIQVBsPPLEMHMqlRQHsfRzxStoUAUf0XQ7GEhQ/EUhuklRsH"
    "qMkdQtAh4AUSgIxfIkaRi/cjJ0lQIHqZxzR2gTEhUCUpxlIsqStGaFpUJB6BxL0moIgIgAAACABhgBIoEZkgQAS0LhUChsCh"
    "8Mh0LiIAicXjMViEcikSi0ejUhkEdksfjEklMmhZIBr2g8JlUbk8jlk0lconE7mc9m8+nVAi8CCAORgKhE8n9LoNMm1NqFPq"
    "Uiqk1qsLbAOEQLpNCq9KqNfr1Wsk5qdlnELtVrtltt1vuFxuVzul1u13vF5vV7vl9v1/wGBwWDwmFw2HxGJxWLxmNx2PyGRy"
    "WTymVy2XzGZzWbzmcgKAEADIAGMAJCgRmQAQtLQsAQqGQ6IACGwuJxWHw6MReJRqOxGLR6QyCMySOSOKQ5WPRAPNROVsNyHT"
    "MAQIkA0rBOESeSymURuRT2gSagzyjUWkUSSStcPIGTCZTSFwIIA52TqE0mfUKP1uj0qvVqh2GwWOMSt4PE7OSY1KpgZsA5BB"
    "Sd2Ku2a73mf3quXu/X3ASsUPFwOO227EYnFYvGY3HY/IZHJZPKZXLZfMZnNZvOZ3PZ/QaHRaPSaXTafUanVavWa3Xa/YbHZb"
    "PabXbbfMQEARAP4ABAABAAAAAQAAAAABAwABAAAADwAAAAEBAwABAAAACgAAAAIBAwAEAAAACgcAAAMBAwABAAAABQAAAAYB"
    "AwABAAAAAQAAABUBAwABAAAABAAAABwBAwABAAAAAQAAAD0BAwABAAAAAgAAAEIBAwABAAAAgAAAAEMBAwABAAAAgAAAAEQB"
    "BAABAAAAdgcAAEUBBAABAAAAmgMAAFIBAwADAAAAEgcAAFMBAwAEAAAAGAcAAICkAgBPAAAAIAcAAIGkAgAGAAAAcAcAAAAA"
    "AAAQABAAEAAQAAAAAAAAAAEAAQABAAEAPEdEQUxNZXRhZGF0YT48SXRlbSBuYW1lPSJSRVNBTVBMSU5HIiBzYW1wbGU9IjAi"
    "Pk5FQVJFU1Q8L0l0ZW0+PC9HREFMTWV0YWRhdGE+AAA2NTUzNQCAP+BQOBMkAAEAC0AikRsgAQ8WQgAQ6IRKKACIw+LxmJw+"
    "MRaPRyNyCKxqQySPyaSx2VyOHhB6w9MO9sNyPTecTmdTueT2fT+gUGhUOiUWjUekUmlUumU2nU+oVGpVOqVWrVesVmtVuuVt"
    "IAGIiiGyeVSmWWaXWeRWS1Si1y22Wm5XG2TA4P42O6a12+X2/X/AYHBYPCYXDYfEYnFYvAiABlgBWK53DKWi6ZW35bMW7OWX"
    "MxyYOB+EB23vGafUanVavWa3Xa/YbHZYVYARCAPJZfNbvP52257fZPecG6vUoPsKOzTbPmc3nc/odHpdPqdXBEADbXc5vgd3"
    "f9/hb3veHiSuYMB8uh1cvre33e/4fH5fP6fWjtADtwC9vh+PdPE8D/vK/sAvMeoYHwXh0vY+0GwdB8IQjCUJwopAwASBADv5"
    "ADyP87kCwJDsQNAepQHsSB0QZCsVxZFsXRfGEYsEeAFBoBENwHDkBQ9EMdxG3yYJgMhzxVGUjSPJEkyVJcKEABkLxxHkdQ/E"
    "Uqx9ESYEAeYcHNIsmS/MEwzFMcyMICAHEYBUox/KUczdNs4O+mB4HiBhyy9Ms8z1Pc+T7P0/0BQNBUHQlC0NQ9EUTRVF0ZRt"
    "HUfSFI0lSdKUrS1L0xTNNU3TlO09T9QVDUVR1JUtTVPVFU1VVdWVbV1X1hWNZVnWla1tW9cVzXVd15XtfV/YFg2FYdiWLY1j"
    "2RZNlWXZlm2dZ9oWjaVp2patrWvbFs21bduW7b1v3BcNxXHcly3Nc90XTdV13Zdt3XfeF43led6Xre173xfN9X3fl+39f+AY"
    "DgWB4JguDYPhGE4VheGYbh2H4hiOJYnimK4ti+MYzjWN45juPY/kGQ5FkeSZLk2T5RlOVZXlmW5dl+YZjmWZ5pmubZvnGc51"
    "neeZ7n2f6BoOhaHomi6No+kaTpWl6ZpunafqGo6lqeqarq2r6xrOta3rmu69r+wbDsWx7JsuzbPtG07Vte2bbt237huO5bnu"
    "m67tu+8bzvW975vu/b/wHA8FwfCcLw3D8RxPFcXxnG8dx/IcjyXJ8pyvLcvzHM81zfOc7z3P9B0PRdH0nS9N0/UdT1XV9Z1v"
    "Xdf2HY9l2fadr23b9x3Pdd33ne993/geD4Xh+J4vjeP5Hk+V5fmeb53n+h6Ppen6nq+t6/sez7Xt+57vve/8Hw/F8fyfL83z"
    "/R9P1fX9n2/d9/4fj+X5/p+v7fv/DToC"
)
"""30 x 20 px of `geotiff_values`, as GDAL writes it through rasterio 1.4.4: four bands of 16 bits, tiled, LZW
with a predictor, in UTM zone 32, no data at 65535, with an overview."""


def geotiff_values() -> np.ndarray:
    """What `GEOTIFF` holds: uint16 (20, 30, 4)."""
    y, x = np.mgrid[0:20, 0:30]
    values = np.stack([x * 100, y * 200, (x + y) * 150, np.full_like(x, 9000)], axis=2).astype(np.uint16)
    values[:2, :2] = 65535
    return values
