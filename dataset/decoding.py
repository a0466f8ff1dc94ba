"""Bytes to pixels: one path for training and serving, in this process or in a child that may die.

The formats are JPEG, PNG and WebP, told by their first bytes. The size is read from the header and refused
before anything is decoded. Pixels are always uint8 RGB of shape (H, W, 3):

- grey and two-tone pictures repeat their one channel, palettes and CMYK are converted by Pillow;
- 16 bits a channel keep their upper byte, so that 65535 becomes 255 (never clipped);
- transparency is composited over black;
- the EXIF orientation is applied once, here;
- of an animation only the first frame counts.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import select
import struct
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from maskloop.errors import PictureError

MAGIC_BYTES: Final = ((b"\xff\xd8\xff", "JPEG", ".jpg"), (b"\x89PNG\r\n\x1a\n", "PNG", ".png"))
REQUEST_HEADER: Final = struct.Struct(">QB")
"""To the child: the number of bytes that follow, and whether to apply the orientation."""
ANSWER_HEADER: Final = struct.Struct(">BIIQ")
"""From the child: status (0 picture, 1 refusal), height, width, and the number of bytes that follow."""
FACTS: Final = struct.Struct(">5sBB")
"""At the head of a decoded picture's bytes: extension, orientation, whether it tells its location."""
_CHILD_STOP_S: Final = 2.0
_PIPE_BYTES: Final = 2**20
"""The most a pipe may hold unless the system says otherwise."""
_TURNED_SIDEWAYS: Final = frozenset({5, 6, 7, 8})


@dataclass(frozen=True)
class DecodedPicture:
    """Pixels, and what the file said about itself.

    Attributes:
        pixels: uint8 (H, W, 3), RGB, upright if the orientation was applied.
        extension: ``.jpg``, ``.png`` or ``.webp``.
        orientation: The EXIF orientation, 1 (upright) to 8.
        has_location: The file carries GPS coordinates.
    """

    pixels: NDArray[np.uint8]
    extension: str
    orientation: int
    has_location: bool


def decode_picture(data: bytes, *, max_mpx: float, apply_orientation: bool = True) -> NDArray[np.uint8]:
    """Decode a JPEG, PNG or WebP into uint8 RGB pixels of shape (H, W, 3).

    Args:
        data: The file's bytes.
        max_mpx: Largest accepted size in million pixels.
        apply_orientation: Turn the picture the way its EXIF orientation says.

    Raises:
        PictureError: if it is another format, too large, truncated or otherwise broken.
    """
    return open_picture(data, max_mpx=max_mpx, apply_orientation=apply_orientation).pixels


def open_picture(
    data: bytes, *, max_mpx: float, apply_orientation: bool = True, max_frames: int = 0
) -> DecodedPicture:
    """Decode a picture and say what else its file told. See `decode_picture`.

    With ``max_frames`` above 0 a file with more frames is refused before anything is decoded.
    """
    format_name, extension = sniff_format(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _open(data, format_name, extension, max_mpx, apply_orientation, max_frames)
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(f"the picture is too large: {error}") from error
    except Exception as error:  # a decoder fed with hostile bytes may raise anything
        raise PictureError(f"the picture cannot be decoded: {error or type(error).__name__}") from error


def sniff_format(data: bytes) -> tuple[str, str]:
    r"""Return Pillow's format name and the file extension, judged by the first bytes.

    >>> sniff_format(b"\x89PNG\r\n\x1a\n...")
    ('PNG', '.png')

    Raises:
        PictureError: for anything but JPEG, PNG and WebP.
    """
    for magic, format_name, extension in MAGIC_BYTES:
        if data.startswith(magic):
            return format_name, extension
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP", ".webp"
    reason = "the file is empty" if not data else "this is neither a JPEG nor a PNG nor a WebP picture"
    raise PictureError(reason)


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """Encode uint8 RGB pixels (H, W, 3) as PNG, without loss."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def orient(array: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Turn an array (…, H, W) stored under an EXIF orientation upright.

    EXIF 2.3, tag 0x0112: 2 mirrored, 3 upside down, 4 both, 5-8 the same with rows and columns exchanged.
    """
    if orientation in _TURNED_SIDEWAYS:
        array = array.swapaxes(-1, -2)
    if orientation in (2, 3, 6, 7):
        array = array[..., ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[..., ::-1, :]
    return array


def _open(
    data: bytes,
    format_name: str,
    extension: str,
    max_mpx: float,
    apply_orientation: bool,
    max_frames: int,
) -> DecodedPicture:
    with Image.open(io.BytesIO(data), formats=[format_name]) as image:
        width, height = image.size
        if width * height > max_mpx * 1e6:
            raise PictureError(
                f"the picture has {width} x {height} px, more than the {max_mpx:g} million accepted",
                hint="downscale it, or raise data.max_picture_mpx",
            )
        # further pictures in a JPEG are a camera's stills (MPO), not frames of an animation
        num_frames = 1 if format_name == "JPEG" else getattr(image, "n_frames", 1)
        if 0 < max_frames < num_frames:
            raise PictureError(f"the picture has {num_frames} frames, more than the {max_frames} accepted")
        image.load()
        exif = image.getexif()
        orientation = exif.get(ExifTags.Base.Orientation, 1)
        orientation = orientation if orientation in range(1, 9) else 1
        has_location = bool(exif.get_ifd(ExifTags.IFD.GPSInfo)) or b"exif:GPS" in data
        upright = ImageOps.exif_transpose(image) if apply_orientation else image
        return DecodedPicture(_to_rgb(upright), extension, orientation, has_location)


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):
        upper_byte = (np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
        return np.repeat(upper_byte[:, :, np.newaxis], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    return np.array(image.convert("RGB"), dtype=np.uint8)


class SandboxedDecoder:
    """Decodes outside bytes in one long-lived child process with limited memory and time.

    A decoder that crashes, hangs or asks for too much memory costs that one picture: the child is replaced
    for the next. May be shared between threads; pictures are decoded one after the other.

    >>> with SandboxedDecoder(max_mpx=1.0) as decoder:
    ...     decoder.decode(encode_png(np.zeros((2, 3, 3), np.uint8))).shape
    (2, 3, 3)
    """

    def __init__(
        self,
        *,
        max_mpx: float = 25.0,
        timeout_s: float = 20.0,
        memory_mb: int = 2048,
        max_frames: int = 0,
    ) -> None:
        self._max_mpx, self._timeout_s, self._memory_mb = max_mpx, timeout_s, memory_mb
        self._max_frames = max_frames
        self._child: subprocess.Popen[bytes] | None = None
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> SandboxedDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def decode(self, data: bytes, *, apply_orientation: bool = True) -> NDArray[np.uint8]:
        """Do what `decode_picture` does, in the child. Raises PictureError."""
        return self.open(data, apply_orientation=apply_orientation).pixels

    def open(self, data: bytes, *, apply_orientation: bool = True) -> DecodedPicture:
        """Do what `open_picture` does, in the child. Raises PictureError."""
        sniff_format(data)
        with self._one_at_a_time:
            child = self._running_child()
            try:
                return _ask(child, data, apply_orientation, time.monotonic() + self._timeout_s)
            except (OSError, EOFError) as error:
                child.kill()
                self._stop()
                is_late = isinstance(error, TimeoutError)
                reason = "took too long" if is_late else "crashed or ran out of memory"
                raise PictureError(f"decoding the picture {reason}") from error

    def close(self) -> None:
        """Stop the child. The next picture starts another."""
        with self._one_at_a_time:
            self._stop()

    def _running_child(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self._stop()
            here = str(Path(__file__).resolve().parents[1])
            search_path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
            limits = (str(self._max_mpx), str(self._memory_mb), str(self._max_frames))
            self._child = subprocess.Popen(
                (sys.executable, "-m", "dataset.decoding_child", *limits),
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": search_path, "OPENBLAS_NUM_THREADS": "1"},
            )
            for pipe in (self._child.stdin, self._child.stdout):
                _prepare(_required(pipe))
        return self._child

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        for pipe in (child.stdin, child.stdout):
            try:
                _required(pipe).close()
            except BrokenPipeError:
                continue  # the child died with a request half written
        try:
            child.wait(_CHILD_STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _ask(
    child: subprocess.Popen[bytes], data: bytes, apply_orientation: bool, deadline_s: float
) -> DecodedPicture:
    _send(_required(child.stdin), REQUEST_HEADER.pack(len(data), apply_orientation) + data, deadline_s)
    answers = _required(child.stdout)
    refused, height, width, length = ANSWER_HEADER.unpack(_receive(answers, ANSWER_HEADER.size, deadline_s))
    body = _receive(answers, length, deadline_s)
    if refused:
        raise PictureError(body.decode())
    extension, orientation, has_location = FACTS.unpack_from(body)
    pixels = np.frombuffer(body, np.uint8, offset=FACTS.size).reshape(height, width, 3)
    return DecodedPicture(pixels, extension.rstrip(b"\0").decode(), orientation, bool(has_location))


def _prepare(pipe: IO[bytes]) -> None:
    """Make a pipe wait only where it is told how long, and hold much: each time it is full costs a switch."""
    os.set_blocking(pipe.fileno(), False)
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(PermissionError):  # many pipes of this user are large already
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _send(pipe: IO[bytes], data: bytes, deadline_s: float) -> None:
    rest = memoryview(data)
    while rest:
        _wait_for(pipe, select.POLLOUT, deadline_s)
        rest = rest[pipe.write(rest) or 0 :]


def _receive(pipe: IO[bytes], length: int, deadline_s: float) -> bytearray:
    data = bytearray(length)
    rest = memoryview(data)
    while rest:
        _wait_for(pipe, select.POLLIN, deadline_s)
        count = pipe.readinto(rest)  # type: ignore[attr-defined]
        if count == 0:
            raise EOFError("the other side of the pipe has gone")
        rest = rest[count or 0 :]
    return data


def _wait_for(pipe: IO[bytes], event: int, deadline_s: float) -> None:
    poll = select.poll()
    poll.register(pipe, event)
    if not poll.poll(max(0.0, deadline_s - time.monotonic()) * 1000):
        raise TimeoutError


def _required(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise EOFError("the child has no pipe")
    return pipe
